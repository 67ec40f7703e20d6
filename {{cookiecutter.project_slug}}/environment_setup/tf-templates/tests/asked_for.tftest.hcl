# `terraform init -backend=false && terraform test`: no cloud, no login.
mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  base_name      = "MyUniqueML"
  project        = "a-project"
  location       = "westeurope"
  resource_group = "a-group"
  workspace_name = "a-workspace"
}

run "nothing_that_was_not_asked_for" {
  command = plan

  assert {
    condition     = length(azurerm_machine_learning_compute_cluster.training) == 0
    error_message = "A cluster is made, and nobody asked for it."
  }
  assert {
    condition     = length(azurerm_role_assignment.pipelines) == 0
    error_message = "Roles are assigned, and nobody asked for it."
  }
  assert {
    condition     = length(azurerm_resource_group.made) == 1 && length(data.azurerm_resource_group.given) == 0
    error_message = "The resource group is not made."
  }
}

run "the_registry_that_was_asked_for" {
  command = plan

  variables {
    registry_sku = "Standard"
  }

  assert {
    condition     = azurerm_container_registry.workspace.sku == "Standard"
    error_message = "The registry costs more than what was asked for."
  }
}

run "a_group_of_others_is_only_looked_up" {
  command = plan

  variables {
    create_resource_group = false
  }

  assert {
    condition     = length(azurerm_resource_group.made) == 0 && output.resource_group == "a-group"
    error_message = "A resource group of others must not be managed here."
  }
}

run "a_cluster_where_it_is_asked_for" {
  command = plan

  variables {
    create_compute    = true
    compute_name      = "small"
    compute_size      = "STANDARD_D4DS_V4"
    compute_priority  = "LowPriority"
    compute_max_nodes = 2
  }

  assert {
    condition = [
      azurerm_machine_learning_compute_cluster.training[0].name,
      azurerm_machine_learning_compute_cluster.training[0].vm_size,
      azurerm_machine_learning_compute_cluster.training[0].vm_priority,
    ] == ["small", "STANDARD_D4DS_V4", "LowPriority"]
    error_message = "The cluster is not the one that was asked for."
  }
}

run "roles_where_they_are_asked_for" {
  command = plan

  variables {
    assign_roles = true
    principal_id = "20000000-0000-0000-0000-000000000000"
  }

  assert {
    condition = { for name, role in azurerm_role_assignment.pipelines : name => [role.scope, role.role_definition_name] } == {
      workspace     = [azurerm_machine_learning_workspace.workspace.id, "Contributor"]
      registry      = [azurerm_container_registry.workspace.id, "Contributor"]
      registry_push = [azurerm_container_registry.workspace.id, "AcrPush"]
      vault         = [azurerm_key_vault.workspace.id, "Key Vault Secrets User"]
    }
    error_message = "The pipelines' identity gets other roles than it should."
  }
  assert {
    condition = alltrue([
      for role in azurerm_role_assignment.pipelines : role.principal_id == "20000000-0000-0000-0000-000000000000"
    ])
    error_message = "Somebody else gets the roles."
  }
}
