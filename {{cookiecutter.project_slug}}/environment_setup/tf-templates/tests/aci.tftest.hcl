# `terraform init -backend=false && terraform test`: no cloud, no login.
mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

override_resource {
  target          = azurerm_user_assigned_identity.container_group
  override_during = plan
  values = {
    id           = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
    principal_id = "30000000-0000-0000-0000-000000000000"
  }
}

variables {
  base_name           = "MyUniqueML"
  project             = "a-project"
  location            = "westeurope"
  resource_group      = "a-group"
  workspace_name      = "a-workspace"
  aci_deployment_name = "a-service"
  assign_roles        = true
  principal_id        = "20000000-0000-0000-0000-000000000000"
}

run "no_name_no_identity" {
  command = plan

  variables {
    aci_deployment_name = ""
  }

  assert {
    condition     = length(azurerm_user_assigned_identity.container_group) + length(azurerm_role_assignment.container_group) + length(azurerm_role_assignment.deploys_container_group) == 0
    error_message = "An identity is made, and nobody named what it is for."
  }
}

run "names_and_tags" {
  command = plan

  assert {
    condition     = azurerm_user_assigned_identity.container_group[0].name == "MyUniqueML-AML-ACI"
    error_message = "The identity does not have the name it should."
  }
  assert {
    condition = alltrue([
      for made in azurerm_user_assigned_identity.container_group :
      made.tags == tomap({ project = "a-project" }) && made.location == "westeurope" && made.resource_group_name == "a-group"
    ])
    error_message = "The identity is elsewhere, or lacks the project's tag."
  }
}

run "roles_where_they_are_asked_for" {
  command = plan

  assert {
    condition = [for role in azurerm_role_assignment.container_group : [role.scope, role.role_definition_name, role.principal_id]] == [
      [azurerm_container_registry.workspace.id, "AcrPull", "30000000-0000-0000-0000-000000000000"]
    ]
    error_message = "The container group must be allowed to pull, and no more."
  }
  assert {
    condition = { for role in azurerm_role_assignment.deploys_container_group : role.role_definition_name => [role.scope, role.principal_id] } == {
      "Azure Container Instances Contributor Role" = [azurerm_resource_group.made[0].id, var.principal_id]
      "Managed Identity Operator"                  = [azurerm_user_assigned_identity.container_group[0].id, var.principal_id]
      "Monitoring Contributor"                     = [azurerm_log_analytics_workspace.workspace.id, var.principal_id]
    }
    error_message = "The pipelines' identity gets other roles for the container group than it should."
  }
}

run "no_roles_where_they_are_not" {
  command = plan

  variables {
    assign_roles = false
  }

  assert {
    condition     = length(azurerm_role_assignment.container_group) + length(azurerm_role_assignment.deploys_container_group) == 0
    error_message = "Roles are assigned, and nobody asked for it."
  }
}
