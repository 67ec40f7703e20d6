terraform {
  # 1.11.2 is the first whose state backend logs in by a service connection of Azure DevOps without a secret.
  required_version = ">= 1.11.2, < 2.0"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.55"
    }
  }

  # Where the state is, is said at `init` (../terraform.py): in an account of its own, outside the resource group, so
  # that removing the project does not remove the record of it.
  backend "azurerm" {}
}

provider "azurerm" {
  # Data of storage accounts is asked for with the login, never with the account's key.
  storage_use_azuread = true

  # Registering needs rights on the subscription, which is also what making a resource group needs.
  resource_provider_registrations = "none"
  resource_providers_to_register = var.create_resource_group ? concat([
    "Microsoft.ContainerRegistry",
    "Microsoft.KeyVault",
    "Microsoft.MachineLearningServices",
    "Microsoft.OperationalInsights",
    "Microsoft.Storage",
    "microsoft.insights",
    ],
    fileexists("${path.module}/aci.tf") ? ["Microsoft.ContainerInstance", "Microsoft.ManagedIdentity"] : [],
    fileexists("${path.module}/web_app.tf") ? ["Microsoft.Web"] : [],
    fileexists("${path.module}/aks.tf") ? ["Microsoft.ContainerService", "Microsoft.PolicyInsights"] : [],
  ) : []

  features {
    # A vault that was deleted stays deleted softly, and keeps its name: it is taken up again, never purged.
    key_vault {
      purge_soft_delete_on_destroy    = false
      recover_soft_deleted_key_vaults = true
    }

    # Nothing here asks the data of a storage account, so no role on it is needed.
    storage {
      data_plane_available = false
    }
  }
}
