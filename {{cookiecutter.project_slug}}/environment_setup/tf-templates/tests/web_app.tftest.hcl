# `terraform init -backend=false && terraform test`: no cloud, no login.
mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

override_resource {
  target          = azurerm_linux_web_app.scoring
  override_during = plan
  values = {
    id       = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.Web/sites/a"
    identity = { principal_id = "30000000-0000-0000-0000-000000000000" }
  }
}

variables {
  base_name              = "MyUniqueML"
  project                = "a-project"
  location               = "westeurope"
  resource_group         = "a-group"
  workspace_name         = "a-workspace"
  webapp_deployment_name = "an-app"
}

run "no_name_no_app" {
  command = plan

  variables {
    webapp_deployment_name = ""
    assign_roles           = true
    principal_id           = "20000000-0000-0000-0000-000000000000"
  }

  assert {
    condition     = length(azurerm_service_plan.scoring) + length(azurerm_linux_web_app.scoring) + length(azurerm_role_assignment.web_app) + length(azurerm_role_assignment.deploys_web_app) == 0
    error_message = "A Web App is made, and nobody named one."
  }
}

run "names_and_tags" {
  command = plan

  assert {
    condition     = [azurerm_service_plan.scoring[0].name, azurerm_linux_web_app.scoring[0].name] == ["MyUniqueML-AML-ASP", "an-app"]
    error_message = "Plan or app do not have the names they should."
  }
  assert {
    condition = alltrue([
      for made in [azurerm_service_plan.scoring[0], azurerm_linux_web_app.scoring[0]] :
      made.tags == tomap({ project = "a-project" }) && made.location == "westeurope" && made.resource_group_name == "a-group"
    ])
    error_message = "Plan or app are elsewhere, or lack the project's tag."
  }
}

run "secure" {
  command = plan

  assert {
    condition     = azurerm_linux_web_app.scoring[0].https_only
    error_message = "The app must refuse plain HTTP."
  }
  assert {
    condition = [
      azurerm_linux_web_app.scoring[0].site_config[0].minimum_tls_version,
      azurerm_linux_web_app.scoring[0].site_config[0].scm_minimum_tls_version,
    ] == ["1.2", "1.2"]
    error_message = "The app must refuse what is older than TLS 1.2."
  }
  assert {
    condition     = azurerm_linux_web_app.scoring[0].site_config[0].ftps_state == "Disabled"
    error_message = "The app must have no FTP."
  }
  assert {
    condition = [
      azurerm_linux_web_app.scoring[0].ftp_publish_basic_authentication_enabled,
      azurerm_linux_web_app.scoring[0].webdeploy_publish_basic_authentication_enabled,
    ] == [false, false]
    error_message = "Nobody may publish with a password."
  }
  assert {
    condition     = azurerm_linux_web_app.scoring[0].identity[0].type == "SystemAssigned"
    error_message = "The app must have an identity of its own."
  }
  assert {
    condition     = azurerm_linux_web_app.scoring[0].site_config[0].container_registry_use_managed_identity
    error_message = "The app must pull by its identity."
  }
  assert {
    condition     = azurerm_linux_web_app.scoring[0].app_settings["SCORING_KEYS"] == "@Microsoft.KeyVault(VaultName=MyUniqueML-AML-KV;SecretName=scoring-key)"
    error_message = "The keys must be a reference to the Key Vault."
  }
}

run "serves" {
  command = plan

  assert {
    condition = [
      azurerm_linux_web_app.scoring[0].site_config[0].health_check_path,
      azurerm_linux_web_app.scoring[0].app_settings["WEBSITES_PORT"],
    ] == ["/healthz", "8080"]
    error_message = "The app must be asked at /healthz, and the container at 8080."
  }
  assert {
    condition     = azurerm_linux_web_app.scoring[0].site_config[0].always_on
    error_message = "The app must not sleep."
  }
  assert {
    condition     = azurerm_linux_web_app.scoring[0].site_config[0].application_stack[0].docker_registry_url == "https://myuniquemlamlcr.azurecr.io"
    error_message = "Images must come from the registry beside it."
  }
  assert {
    condition     = azurerm_monitor_diagnostic_setting.scoring[0].log_analytics_workspace_id == azurerm_log_analytics_workspace.workspace.id
    error_message = "Its log must go to Log Analytics."
  }
}

run "roles_where_they_are_asked_for" {
  command = plan

  variables {
    assign_roles = true
    principal_id = "20000000-0000-0000-0000-000000000000"
  }

  assert {
    condition = { for name, role in azurerm_role_assignment.web_app : name => [role.scope, role.role_definition_name] } == {
      pull = [azurerm_container_registry.workspace.id, "AcrPull"]
      key  = ["${azurerm_key_vault.workspace.id}/secrets/scoring-key", "Key Vault Secrets User"]
    }
    error_message = "The app gets other roles than it should."
  }
  assert {
    condition = alltrue([
      for role in azurerm_role_assignment.web_app : role.principal_id == "30000000-0000-0000-0000-000000000000"
    ])
    error_message = "Somebody else gets the app's roles."
  }
  assert {
    condition     = [for role in azurerm_role_assignment.deploys_web_app : [role.scope, role.role_definition_name, role.principal_id]] == [[azurerm_linux_web_app.scoring[0].id, "Website Contributor", var.principal_id]]
    error_message = "The pipelines' identity must be allowed to deploy, and no more."
  }
}

run "no_roles_where_they_are_not" {
  command = plan

  assert {
    condition     = length(azurerm_role_assignment.web_app) + length(azurerm_role_assignment.deploys_web_app) == 0
    error_message = "Roles are assigned, and nobody asked for it."
  }
}

run "a_name_with_a_dot_is_refused" {
  command         = plan
  expect_failures = [var.webapp_deployment_name]

  variables {
    webapp_deployment_name = "an.app"
  }
}
