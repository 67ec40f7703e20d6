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
  create_compute = true
}

run "secure" {
  command = plan

  assert {
    condition     = azurerm_storage_account.workspace.min_tls_version == "TLS1_2"
    error_message = "Storage must refuse what is older than TLS 1.2."
  }
  assert {
    condition     = azurerm_storage_account.workspace.https_traffic_only_enabled
    error_message = "Storage must refuse plain HTTP."
  }
  assert {
    condition     = !azurerm_storage_account.workspace.allow_nested_items_to_be_public
    error_message = "No blob may be public."
  }
  assert {
    condition     = !azurerm_storage_account.workspace.cross_tenant_replication_enabled
    error_message = "Storage must not be copied into another tenant."
  }
  assert {
    condition     = azurerm_storage_account.workspace.default_to_oauth_authentication
    error_message = "The portal must log in to storage, not take the key."
  }
  assert {
    condition     = azurerm_storage_account.workspace.infrastructure_encryption_enabled
    error_message = "Storage must be encrypted twice."
  }
  assert {
    condition     = !azurerm_storage_account.workspace.local_user_enabled
    error_message = "Storage must have no users of its own."
  }
  assert {
    condition     = azurerm_storage_account.workspace.shared_access_key_enabled
    error_message = "SDK v1 reaches the default datastore by the account's key."
  }
  assert {
    condition     = azurerm_storage_account.workspace.sas_policy[0].expiration_period == "01.00:00:00"
    error_message = "Tokens of more than a day must be logged."
  }
  assert {
    condition = alltrue([
      azurerm_storage_account.workspace.blob_properties[0].delete_retention_policy[0].days >= 7,
      azurerm_storage_account.workspace.blob_properties[0].container_delete_retention_policy[0].days >= 7,
    ])
    error_message = "What is deleted must be kept for a week."
  }
  assert {
    condition     = azurerm_key_vault.workspace.rbac_authorization_enabled
    error_message = "Access to the vault must be by role."
  }
  assert {
    condition     = azurerm_key_vault.workspace.purge_protection_enabled
    error_message = "Nobody may purge the vault."
  }
  assert {
    condition     = azurerm_key_vault.workspace.soft_delete_retention_days == 90
    error_message = "A deleted vault must be kept for 90 days."
  }
  assert {
    condition     = azurerm_key_vault.workspace.tenant_id == "10000000-0000-0000-0000-000000000000"
    error_message = "The vault must belong to the tenant of whoever applies."
  }
  assert {
    condition     = !azurerm_container_registry.workspace.admin_enabled
    error_message = "The registry must have no admin user."
  }
  assert {
    condition     = !azurerm_container_registry.workspace.anonymous_pull_enabled
    error_message = "The registry must ask who pulls."
  }
  assert {
    condition     = azurerm_machine_learning_workspace.workspace.identity[0].type == "SystemAssigned"
    error_message = "The workspace must have an identity of its own."
  }
  assert {
    condition = [
      azurerm_machine_learning_compute_cluster.training[0].scale_settings[0].min_node_count,
      azurerm_machine_learning_compute_cluster.training[0].scale_settings[0].max_node_count,
    ] == [0, 4]
    error_message = "The cluster must have no nodes while there is no work."
  }
  assert {
    condition     = !azurerm_machine_learning_compute_cluster.training[0].ssh_public_access_enabled
    error_message = "Nobody may reach the nodes from outside."
  }
  assert {
    condition     = !azurerm_machine_learning_compute_cluster.training[0].local_auth_enabled
    error_message = "Nodes must have no users of their own."
  }
}
