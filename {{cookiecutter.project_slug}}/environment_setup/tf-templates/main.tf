locals {
  base = lower(var.base_name) # storage accounts and registries take no capitals
  tags = merge(var.tags, { project = var.project })

  resource_group = one(concat(azurerm_resource_group.made, data.azurerm_resource_group.given))
}

data "azurerm_client_config" "current" {}

# The group is either made here, and then it is ours with its tag, or looked up, and then it stays whose it was: a group
# of others that was imported would be deleted with the project.
resource "azurerm_resource_group" "made" {
  count    = var.create_resource_group ? 1 : 0
  name     = var.resource_group
  location = var.location
  tags     = local.tags

  lifecycle {
    prevent_destroy = true
  }
}

data "azurerm_resource_group" "given" {
  count = var.create_resource_group ? 0 : 1
  name  = var.resource_group
}

resource "azurerm_storage_account" "workspace" {
  #checkov:skip=CKV2_AZURE_40: SDK v1 reaches the workspace's default datastore by the account's key
  #checkov:skip=CKV_AZURE_59: Hosted build agents have no fixed addresses; blobs are private, and access needs a role or the key
  #checkov:skip=CKV2_AZURE_33: A private endpoint needs a network, and build agents of one's own in it
  #checkov:skip=CKV_AZURE_206: One region: what is in it can be trained again, and data that cannot belongs elsewhere too
  #checkov:skip=CKV_AZURE_43: The name is lower(base_name) and five letters; variables.tf holds base_name to ten
  #checkov:skip=CKV_AZURE_33: Nobody uses queues of this account
  #checkov:skip=CKV2_AZURE_1: Microsoft's keys, twice: infrastructure encryption is on
  name                = "${local.base}amlsa"
  resource_group_name = local.resource_group.name
  location            = var.location
  tags                = local.tags

  account_kind             = "StorageV2"
  account_tier             = "Standard"
  account_replication_type = "LRS"

  min_tls_version                   = "TLS1_2"
  https_traffic_only_enabled        = true
  allow_nested_items_to_be_public   = false
  cross_tenant_replication_enabled  = false
  default_to_oauth_authentication   = true
  infrastructure_encryption_enabled = true
  local_user_enabled                = false
  shared_access_key_enabled         = true # SDK v1 reaches the default datastore by the account's key

  blob_properties {
    delete_retention_policy {
      days = 7
    }
    container_delete_retention_policy {
      days = 7
    }
  }

  # A key signs tokens that outlive it: those of more than a day are logged.
  sas_policy {
    expiration_period = "01.00:00:00"
    expiration_action = "Log"
  }

  # Data, models and logs of all runs: another name or region would delete them, and is refused. So it is below.
  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_key_vault" "workspace" {
  #checkov:skip=CKV_AZURE_109: Hosted build agents have no fixed addresses; access is by role
  #checkov:skip=CKV_AZURE_189: As above: closing the network needs agents of one's own in it
  #checkov:skip=CKV2_AZURE_32: As above: so does a private endpoint
  name                = "${var.base_name}-AML-KV"
  resource_group_name = local.resource_group.name
  location            = var.location
  tags                = local.tags

  tenant_id                  = data.azurerm_client_config.current.tenant_id
  sku_name                   = "standard"
  rbac_authorization_enabled = true
  purge_protection_enabled   = true
  soft_delete_retention_days = 90

  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_log_analytics_workspace" "workspace" {
  name                = "${var.base_name}-AML-LA"
  resource_group_name = local.resource_group.name
  location            = var.location
  tags                = local.tags

  sku               = "PerGB2018"
  retention_in_days = 30
}

resource "azurerm_application_insights" "workspace" {
  name                = "${var.base_name}-AML-AI"
  resource_group_name = local.resource_group.name
  location            = var.location
  tags                = local.tags

  application_type = "web"
  workspace_id     = azurerm_log_analytics_workspace.workspace.id
}

resource "azurerm_container_registry" "workspace" {
  #checkov:skip=CKV_AZURE_139: Hosted build agents have no fixed addresses; there is no admin user and no anonymous pull
  #checkov:skip=CKV_AZURE_164: Content trust is on its way out of Azure
  #checkov:skip=CKV_AZURE_165: One region: images are built again from what is committed
  #checkov:skip=CKV_AZURE_166: Quarantine needs a scanner that releases images
  #checkov:skip=CKV_AZURE_167: Only a Premium registry deletes untagged manifests by itself
  #checkov:skip=CKV_AZURE_233: Azure spreads registries over the zones of a region by itself
  #checkov:skip=CKV_AZURE_237: Dedicated data endpoints are for networks with a firewall
  name                = "${local.base}amlcr"
  resource_group_name = local.resource_group.name
  location            = var.location
  tags                = local.tags

  sku                    = var.registry_sku
  admin_enabled          = false
  anonymous_pull_enabled = false
}

resource "azurerm_machine_learning_workspace" "workspace" {
  #checkov:skip=CKV_AZURE_144: Closing the network needs build agents of one's own in it
  #checkov:skip=CKV2_AZURE_50: As above, for the workspace's storage
  name                = var.workspace_name
  friendly_name       = var.workspace_name
  resource_group_name = local.resource_group.name
  location            = var.location
  tags                = local.tags

  storage_account_id      = azurerm_storage_account.workspace.id
  key_vault_id            = azurerm_key_vault.workspace.id
  application_insights_id = azurerm_application_insights.workspace.id
  container_registry_id   = azurerm_container_registry.workspace.id

  identity {
    type = "SystemAssigned"
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_machine_learning_compute_cluster" "training" {
  count    = var.create_compute ? 1 : 0
  name     = var.compute_name
  location = var.location
  tags     = local.tags

  machine_learning_workspace_id = azurerm_machine_learning_workspace.workspace.id
  vm_size                       = var.compute_size
  vm_priority                   = var.compute_priority
  local_auth_enabled            = false
  ssh_public_access_enabled     = false

  # With this it pulls images from the registry, which has no admin user.
  identity {
    type = "SystemAssigned"
  }

  scale_settings {
    min_node_count                       = 0
    max_node_count                       = var.compute_max_nodes
    scale_down_nodes_after_idle_duration = "PT5M"
  }
}

# What the pipelines' identity may do. Secrets are read and not written: datastores keep theirs through the workspace.
resource "azurerm_role_assignment" "pipelines" {
  for_each = var.assign_roles ? {
    workspace     = { scope = azurerm_machine_learning_workspace.workspace.id, role = "Contributor" }
    registry      = { scope = azurerm_container_registry.workspace.id, role = "Contributor" }
    registry_push = { scope = azurerm_container_registry.workspace.id, role = "AcrPush" }
    vault         = { scope = azurerm_key_vault.workspace.id, role = "Key Vault Secrets User" }
  } : {}

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = var.principal_id
  principal_type       = "ServicePrincipal"
}
