# Names only. Jobs read an output under its name in capitals; nothing secret belongs here.

output "resource_group" {
  value = local.resource_group.name
}

output "workspace_name" {
  value = azurerm_machine_learning_workspace.workspace.name
}

output "storage_account_name" {
  value = azurerm_storage_account.workspace.name
}

output "key_vault_name" {
  value = azurerm_key_vault.workspace.name
}

output "application_insights_name" {
  value = azurerm_application_insights.workspace.name
}

output "container_registry_login_server" {
  value = azurerm_container_registry.workspace.login_server
}
