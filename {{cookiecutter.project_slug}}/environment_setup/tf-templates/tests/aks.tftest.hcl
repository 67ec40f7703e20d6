# `terraform init -backend=false && terraform test`: no cloud, no login.
mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

override_resource {
  target          = azurerm_kubernetes_cluster.scoring
  override_during = plan
  values = {
    id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c"
  }
}

variables {
  base_name        = "MyUniqueML"
  project          = "a-project"
  location         = "westeurope"
  resource_group   = "a-group"
  workspace_name   = "a-workspace"
  aks_compute_name = "a-cluster"
  aks_namespace    = "ab"
  mesh_revision    = "asm-7-8"
  assign_roles     = true
  principal_id     = "20000000-0000-0000-0000-000000000000"
}

run "no_name_no_cluster" {
  command = plan

  variables {
    aks_compute_name = ""
  }

  assert {
    condition     = length(azurerm_kubernetes_cluster.scoring) + length(azurerm_role_assignment.nodes) + length(azurerm_role_assignment.deploys_to_cluster) == 0
    error_message = "A cluster is made, and nobody named one."
  }
}

run "names_and_tags" {
  command = plan

  assert {
    condition     = [azurerm_kubernetes_cluster.scoring[0].name, azurerm_monitor_data_collection_rule.cluster[0].name] == ["a-cluster", "MyUniqueML-AML-DCR"]
    error_message = "The cluster or its rule do not have the names they should."
  }
  assert {
    condition = alltrue([
      for made in [azurerm_kubernetes_cluster.scoring[0], azurerm_monitor_data_collection_rule.cluster[0]] :
      made.tags == tomap({ project = "a-project" }) && made.location == "westeurope" && made.resource_group_name == "a-group"
    ])
    error_message = "The cluster or its rule are elsewhere, or lack the project's tag."
  }
}

run "secure" {
  command = plan

  assert {
    condition     = azurerm_kubernetes_cluster.scoring[0].azure_active_directory_role_based_access_control[0].azure_rbac_enabled
    error_message = "Access to the cluster must be by role."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.scoring[0].local_account_disabled
    error_message = "The cluster must have no local account."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.scoring[0].identity[0].type == "SystemAssigned"
    error_message = "The cluster must have an identity of its own."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.scoring[0].network_profile[0].network_policy == "cilium"
    error_message = "Network policies must be enforced."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.scoring[0].automatic_upgrade_channel == "patch" && azurerm_kubernetes_cluster.scoring[0].node_os_upgrade_channel == "NodeImage"
    error_message = "The cluster must mend itself."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.scoring[0].azure_policy_enabled
    error_message = "Azure Policy must watch the cluster."
  }
  assert {
    condition     = azurerm_monitor_data_collection_rule_association.cluster[0].target_resource_id == azurerm_kubernetes_cluster.scoring[0].id
    error_message = "The cluster's log must be collected."
  }
}

run "the_cluster_has_a_mesh" {
  command = plan

  assert {
    condition     = azurerm_kubernetes_cluster.scoring[0].service_mesh_profile[0].external_ingress_gateway_enabled
    error_message = "The mesh needs a gateway to the outside."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.scoring[0].service_mesh_profile[0].revisions == tolist(["asm-7-8"])
    error_message = "The mesh must begin with the revision that was asked for."
  }
}

run "a_mesh_without_a_revision_is_refused" {
  command         = plan
  expect_failures = [var.mesh_revision]

  variables {
    mesh_revision = ""
  }
}

run "roles_where_they_are_asked_for" {
  command = plan

  assert {
    condition = { for role in azurerm_role_assignment.deploys_to_cluster : role.role_definition_name => [role.scope, role.principal_id] } == {
      "Azure Kubernetes Service Cluster User Role"  = [azurerm_kubernetes_cluster.scoring[0].id, var.principal_id]
      "Azure Kubernetes Service RBAC Cluster Admin" = ["${azurerm_kubernetes_cluster.scoring[0].id}/namespaces/ab", var.principal_id]
    }
    error_message = "The pipelines' identity gets other roles in the cluster than it should."
  }
  assert {
    condition = [for role in azurerm_role_assignment.nodes : [role.scope, role.role_definition_name]] == [
      [azurerm_container_registry.workspace.id, "AcrPull"]
    ]
    error_message = "Nodes must be allowed to pull, and no more."
  }
}

run "no_roles_where_they_are_not" {
  command = plan

  variables {
    assign_roles = false
  }

  assert {
    condition     = length(azurerm_role_assignment.deploys_to_cluster) + length(azurerm_role_assignment.nodes) == 0
    error_message = "Roles are assigned, and nobody asked for it."
  }
}

run "a_name_with_a_dot_is_refused" {
  command         = plan
  expect_failures = [var.aks_compute_name]

  variables {
    aks_compute_name = "a.cluster"
  }
}
