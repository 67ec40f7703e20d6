variable "aci_deployment_name" {
  description = "The container group, which ../../deployment/aci/ makes. Empty: nothing is made for it."
  type        = string
  default     = ""
}

locals {
  container_group = var.aci_deployment_name == "" ? 0 : 1
}

# By this the container group pulls. A group that outlives its identity gets stuck until Azure's support helps, and
# Terraform knows no group: delete that first, then take the name away.
resource "azurerm_user_assigned_identity" "container_group" {
  count               = local.container_group
  name                = "${var.base_name}-AML-ACI"
  resource_group_name = local.resource_group.name
  location            = var.location
  tags                = local.tags
}

resource "azurerm_role_assignment" "container_group" {
  count                = var.assign_roles ? local.container_group : 0
  scope                = azurerm_container_registry.workspace.id
  role_definition_name = "AcrPull"
  principal_id         = azurerm_user_assigned_identity.container_group[0].principal_id
  principal_type       = "ServicePrincipal"
}

# The pipelines' identity makes groups, which are deleted and made again; it assigns them the identity, and asks for the
# key by which they write their log.
resource "azurerm_role_assignment" "deploys_container_group" {
  for_each = var.assign_roles && local.container_group == 1 ? {
    "Azure Container Instances Contributor Role" = local.resource_group.id
    "Managed Identity Operator"                  = azurerm_user_assigned_identity.container_group[0].id
    "Monitoring Contributor"                     = azurerm_log_analytics_workspace.workspace.id
  } : {}

  scope                = each.value
  role_definition_name = each.key
  principal_id         = var.principal_id
  principal_type       = "ServicePrincipal"
}
