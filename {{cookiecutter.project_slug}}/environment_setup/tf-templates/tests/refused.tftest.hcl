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

run "two_letters_are_refused" {
  command         = plan
  expect_failures = [var.base_name]

  variables {
    base_name = "ab"
  }
}

run "eleven_letters_are_refused" {
  command         = plan
  expect_failures = [var.base_name]

  variables {
    base_name = "abcdefghijk"
  }
}

run "a_dash_is_refused" {
  command         = plan
  expect_failures = [var.base_name]

  variables {
    base_name = "my-ml"
  }
}

run "a_digit_in_front_is_refused" {
  command         = plan
  expect_failures = [var.base_name]

  variables {
    base_name = "1ml"
  }
}

run "a_project_without_a_name_is_refused" {
  command         = plan
  expect_failures = [var.project]

  variables {
    project = ""
  }
}

run "roles_for_nobody_are_refused" {
  command         = plan
  expect_failures = [var.principal_id]

  variables {
    assign_roles = true
  }
}
