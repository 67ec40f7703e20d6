variable "aks_compute_name" {
  description = "The cluster; its name begins its address too: letters, digits and hyphens. Empty: none is made."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([0-9A-Za-z]([0-9A-Za-z-]{0,52}[0-9A-Za-z])?)?$", var.aks_compute_name))
    error_message = "aks_compute_name must be 1 to 54 letters, digits and hyphens, or empty."
  }
}

variable "mesh_revision" {
  description = "Revision of the mesh to begin with. ../terraform.py asks Azure for the newest: each lives for a year."
  type        = string
  default     = ""

  validation {
    condition     = var.aks_compute_name == "" || can(regex("^asm-\\d+-\\d+$", var.mesh_revision))
    error_message = "mesh_revision is missing: `az aks mesh get-revisions --location <region>` lists them."
  }
}

variable "aks_namespace" {
  description = "The namespace in which the pipelines' identity may do what it likes; for assign_roles."
  type        = string
  default     = ""
}

variable "aks_node_size" {
  description = "Size of its nodes, with a local disk of 128 GB or more."
  type        = string
  default     = "Standard_D4ds_v5"
}

variable "aks_min_nodes" {
  description = "At least so many nodes. Of three, two serve on while one is upgraded."
  type        = number
  default     = 3
}

variable "aks_max_nodes" {
  description = "At most so many nodes."
  type        = number
  default     = 5
}

locals {
  cluster = var.aks_compute_name == "" ? 0 : 1
}

resource "azurerm_kubernetes_cluster" "scoring" {
  #checkov:skip=CKV_AZURE_6: Hosted build agents have no fixed addresses; access is by role
  #checkov:skip=CKV_AZURE_115: A private cluster needs build agents of one's own in its network
  #checkov:skip=CKV_AZURE_117: Disks are encrypted with Microsoft's keys; the nodes keep no data
  #checkov:skip=CKV_AZURE_172: No secrets are mounted, so no driver for them is installed
  #checkov:skip=CKV_AZURE_227: Encryption at the host must be registered for the subscription first
  #checkov:skip=CKV_AZURE_232: One pool for the system and for the services: a second one would idle
  count               = local.cluster
  name                = var.aks_compute_name
  resource_group_name = local.resource_group.name
  location            = var.location
  tags                = local.tags

  dns_prefix                        = var.aks_compute_name
  sku_tier                          = "Standard"
  role_based_access_control_enabled = true
  local_account_disabled            = true
  automatic_upgrade_channel         = "patch"
  node_os_upgrade_channel           = "NodeImage"
  oidc_issuer_enabled               = true
  workload_identity_enabled         = true
  image_cleaner_enabled             = true
  image_cleaner_interval_hours      = 168
  azure_policy_enabled              = true

  identity {
    type = "SystemAssigned"
  }

  azure_active_directory_role_based_access_control {
    azure_rbac_enabled = true
  }

  oms_agent {
    log_analytics_workspace_id      = azurerm_log_analytics_workspace.workspace.id
    msi_auth_for_monitoring_enabled = true
  }

  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_data_plane  = "cilium"
    network_policy      = "cilium"
    load_balancer_sku   = "standard"
  }

  default_node_pool {
    name                        = "system"
    temporary_name_for_rotation = "rotation"
    os_sku                      = "AzureLinux"
    os_disk_type                = "Ephemeral"
    vm_size                     = var.aks_node_size
    auto_scaling_enabled        = true
    min_count                   = var.aks_min_nodes
    max_count                   = var.aks_max_nodes
    max_pods                    = 110

    upgrade_settings {
      max_surge = "33%"
    }
  }

  service_mesh_profile {
    mode                             = "Istio"
    revisions                        = [var.mesh_revision]
    external_ingress_gateway_enabled = true
  }

  # What upgrades itself, or is upgraded by `az aks mesh upgrade`, is not put back.
  lifecycle {
    ignore_changes = [kubernetes_version, service_mesh_profile[0].revisions]
  }
}

# What containers write goes to Log Analytics, in ContainerLogV2.
resource "azurerm_monitor_data_collection_rule" "cluster" {
  count               = local.cluster
  name                = "${var.base_name}-AML-DCR"
  resource_group_name = local.resource_group.name
  location            = var.location
  tags                = local.tags
  kind                = "Linux"

  data_sources {
    extension {
      name           = "ContainerInsightsExtension"
      extension_name = "ContainerInsights"
      streams        = ["Microsoft-ContainerInsights-Group-Default"]
      extension_json = jsonencode({
        dataCollectionSettings = { interval = "1m", namespaceFilteringMode = "Off", enableContainerLogV2 = true }
      })
    }
  }

  destinations {
    log_analytics {
      name                  = "logs"
      workspace_resource_id = azurerm_log_analytics_workspace.workspace.id
    }
  }

  data_flow {
    streams      = ["Microsoft-ContainerInsights-Group-Default"]
    destinations = ["logs"]
  }
}

resource "azurerm_monitor_data_collection_rule_association" "cluster" {
  count                   = local.cluster
  name                    = "ContainerInsightsExtension"
  target_resource_id      = azurerm_kubernetes_cluster.scoring[0].id
  data_collection_rule_id = azurerm_monitor_data_collection_rule.cluster[0].id
}

resource "azurerm_role_assignment" "nodes" {
  count                = var.assign_roles ? local.cluster : 0
  scope                = azurerm_container_registry.workspace.id
  role_definition_name = "AcrPull"
  principal_id         = one(azurerm_kubernetes_cluster.scoring[0].kubelet_identity[*].object_id)
  principal_type       = "ServicePrincipal"
}

# The pipelines' identity gets a login, and one namespace.
resource "azurerm_role_assignment" "deploys_to_cluster" {
  for_each = var.assign_roles && local.cluster == 1 ? {
    "Azure Kubernetes Service Cluster User Role"  = ""
    "Azure Kubernetes Service RBAC Cluster Admin" = "/namespaces/${var.aks_namespace}"
  } : {}

  scope                = "${azurerm_kubernetes_cluster.scoring[0].id}${each.value}"
  role_definition_name = each.key
  principal_id         = var.principal_id
  principal_type       = "ServicePrincipal"
}
