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
  tags           = { owner = "somebody", project = "another" }
  create_compute = true
}

run "names" {
  command = plan

  assert {
    condition = [
      azurerm_storage_account.workspace.name,
      azurerm_key_vault.workspace.name,
      azurerm_application_insights.workspace.name,
      azurerm_log_analytics_workspace.workspace.name,
      azurerm_container_registry.workspace.name,
      ] == [
      "myuniquemlamlsa", "MyUniqueML-AML-KV", "MyUniqueML-AML-AI", "MyUniqueML-AML-LA", "myuniquemlamlcr"
    ]
    error_message = "MyUniqueML does not give the names it should."
  }

  assert {
    condition     = azurerm_machine_learning_workspace.workspace.name == "a-workspace"
    error_message = "The workspace does not have the name it was given."
  }
}

run "names_from_the_shortest" {
  command = plan

  variables {
    base_name = "abc"
  }

  assert {
    condition = [
      azurerm_storage_account.workspace.name,
      azurerm_key_vault.workspace.name,
      azurerm_application_insights.workspace.name,
      azurerm_log_analytics_workspace.workspace.name,
      azurerm_container_registry.workspace.name,
    ] == ["abcamlsa", "abc-AML-KV", "abc-AML-AI", "abc-AML-LA", "abcamlcr"]
    error_message = "abc does not give the names it should."
  }
}

run "names_from_the_longest" {
  command = plan

  variables {
    base_name = "M2345678Z0"
  }

  assert {
    condition = [
      azurerm_storage_account.workspace.name,
      azurerm_key_vault.workspace.name,
      azurerm_application_insights.workspace.name,
      azurerm_log_analytics_workspace.workspace.name,
      azurerm_container_registry.workspace.name,
      ] == [
      "m2345678z0amlsa", "M2345678Z0-AML-KV", "M2345678Z0-AML-AI", "M2345678Z0-AML-LA", "m2345678z0amlcr"
    ]
    error_message = "M2345678Z0 does not give the names it should."
  }
}

run "everything_is_in_its_place_and_tagged" {
  command = plan

  assert {
    condition = alltrue([
      for made in [
        azurerm_resource_group.made[0],
        azurerm_storage_account.workspace,
        azurerm_key_vault.workspace,
        azurerm_log_analytics_workspace.workspace,
        azurerm_application_insights.workspace,
        azurerm_container_registry.workspace,
        azurerm_machine_learning_workspace.workspace,
        azurerm_machine_learning_compute_cluster.training[0],
      ] : made.tags == tomap({ owner = "somebody", project = "a-project" }) && made.location == "westeurope"
    ])
    error_message = "Something is in another region, or lacks the project's tag or the others."
  }
  assert {
    condition = alltrue([
      for made in [
        azurerm_storage_account.workspace,
        azurerm_key_vault.workspace,
        azurerm_log_analytics_workspace.workspace,
        azurerm_application_insights.workspace,
        azurerm_container_registry.workspace,
        azurerm_machine_learning_workspace.workspace,
      ] : made.resource_group_name == "a-group"
    ])
    error_message = "Something is in another resource group."
  }
  assert {
    condition     = azurerm_application_insights.workspace.workspace_id == azurerm_log_analytics_workspace.workspace.id
    error_message = "Application Insights must keep its data in Log Analytics."
  }
  assert {
    condition = [
      azurerm_machine_learning_workspace.workspace.storage_account_id,
      azurerm_machine_learning_workspace.workspace.key_vault_id,
      azurerm_machine_learning_workspace.workspace.application_insights_id,
      azurerm_machine_learning_workspace.workspace.container_registry_id,
      ] == [
      azurerm_storage_account.workspace.id,
      azurerm_key_vault.workspace.id,
      azurerm_application_insights.workspace.id,
      azurerm_container_registry.workspace.id,
    ]
    error_message = "The workspace must use what is made beside it."
  }
}

run "outputs" {
  command = plan

  assert {
    condition = [
      output.resource_group,
      output.workspace_name,
      output.storage_account_name,
      output.key_vault_name,
      output.application_insights_name,
      output.container_registry_login_server,
      ] == [
      "a-group",
      "a-workspace",
      "myuniquemlamlsa",
      "MyUniqueML-AML-KV",
      "MyUniqueML-AML-AI",
      "myuniquemlamlcr.azurecr.io",
    ]
    error_message = "An output does not say what it should."
  }
}
