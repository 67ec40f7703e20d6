variable "webapp_deployment_name" {
  description = "The Web App: letters, digits and hyphens, unique in the world. Empty: none is made."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([0-9A-Za-z][0-9A-Za-z-]{0,58}[0-9A-Za-z])?$", var.webapp_deployment_name))
    error_message = "webapp_deployment_name must be 2 to 60 letters, digits and hyphens, or empty."
  }
}

variable "webapp_plan_size" {
  description = "Size of an instance: B1 or more."
  type        = string
  default     = "B1"
}

variable "webapp_instances" {
  description = "How many run. With two or more, one that does not answer /healthz gets no requests."
  type        = number
  default     = 1
}

locals {
  web_app = var.webapp_deployment_name == "" ? 0 : 1
}

resource "azurerm_service_plan" "scoring" {
  #checkov:skip=CKV_AZURE_211: B1 is the cheapest that never sleeps; webapp_plan_size makes it more
  #checkov:skip=CKV_AZURE_212: One instance is the cheapest that serves; webapp_instances makes it more
  #checkov:skip=CKV_AZURE_225: Zones come with the Premium plan, and with three instances
  count               = local.web_app
  name                = "${var.base_name}-AML-ASP"
  resource_group_name = local.resource_group.name
  location            = var.location
  tags                = local.tags

  os_type      = "Linux"
  sku_name     = var.webapp_plan_size
  worker_count = var.webapp_instances
}

resource "azurerm_linux_web_app" "scoring" {
  #checkov:skip=CKV_AZURE_13: Callers are programs with a key; the service itself asks for it
  #checkov:skip=CKV_AZURE_17: As above: callers have keys, not certificates
  #checkov:skip=CKV_AZURE_88: The service writes no files, so there is nothing to keep in a share
  #checkov:skip=CKV_AZURE_222: It is there to be called; closing the network needs one of one's own
  count               = local.web_app
  name                = var.webapp_deployment_name
  resource_group_name = local.resource_group.name
  location            = var.location
  tags                = local.tags

  service_plan_id         = azurerm_service_plan.scoring[0].id
  https_only              = true
  client_affinity_enabled = false

  # A login with a password for FTP and for publishing is nobody's to have.
  ftp_publish_basic_authentication_enabled       = false
  webdeploy_publish_basic_authentication_enabled = false

  identity {
    type = "SystemAssigned"
  }

  site_config {
    always_on                               = true
    container_registry_use_managed_identity = true
    ftps_state                              = "Disabled"
    health_check_path                       = "/healthz"
    health_check_eviction_time_in_min       = 5
    http2_enabled                           = true
    minimum_tls_version                     = "1.2"
    remote_debugging_enabled                = false
    scm_minimum_tls_version                 = "1.2"

    # There is no such image: until the first deployment of a model there is nothing to run.
    application_stack {
      docker_image_name   = "no-model:yet"
      docker_registry_url = "https://${azurerm_container_registry.workspace.login_server}"
    }
  }

  app_settings = {
    SCORING_KEYS                        = "@Microsoft.KeyVault(VaultName=${azurerm_key_vault.workspace.name};SecretName=scoring-key)"
    WEBSITES_PORT                       = "8080"
    WEBSITES_ENABLE_APP_SERVICE_STORAGE = "false"
  }

  logs {
    detailed_error_messages = true
    failed_request_tracing  = true

    http_logs {
      file_system {
        retention_in_days = 7
        retention_in_mb   = 35
      }
    }
  }

  # Which image it runs is what ../../deployment/web_app.py decides.
  lifecycle {
    ignore_changes = [site_config[0].application_stack[0].docker_image_name]
  }
}

resource "azurerm_monitor_diagnostic_setting" "scoring" {
  count                      = local.web_app
  name                       = "logs"
  target_resource_id         = azurerm_linux_web_app.scoring[0].id
  log_analytics_workspace_id = azurerm_log_analytics_workspace.workspace.id

  dynamic "enabled_log" {
    for_each = ["AppServiceConsoleLogs", "AppServiceHTTPLogs", "AppServicePlatformLogs"]
    content {
      category = enabled_log.value
    }
  }
}

# What the app itself may do: pull, and read its keys and no other secret, which must be there by then.
resource "azurerm_role_assignment" "web_app" {
  for_each = var.assign_roles && local.web_app == 1 ? {
    pull = { scope = azurerm_container_registry.workspace.id, role = "AcrPull" }
    key  = { scope = "${azurerm_key_vault.workspace.id}/secrets/scoring-key", role = "Key Vault Secrets User" }
  } : {}

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_linux_web_app.scoring[0].identity[0].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "deploys_web_app" {
  count                = var.assign_roles ? local.web_app : 0
  scope                = azurerm_linux_web_app.scoring[0].id
  role_definition_name = "Website Contributor"
  principal_id         = var.principal_id
  principal_type       = "ServicePrincipal"
}
