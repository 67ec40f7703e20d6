# Names of this project's first environment. BASE_NAME, LOCATION, RESOURCE_GROUP and WORKSPACE_NAME of a build's variable
# group win over them; all else that variables.tf offers is decided here.
project        = "{{ cookiecutter.project_slug }}"
base_name      = "{{ cookiecutter.base_name }}"
location       = "{{ cookiecutter.__location }}"
resource_group = "{{ cookiecutter.resource_group }}"
workspace_name = "{{ cookiecutter.workspace_name }}"
registry_sku   = "{{ "Premium" if cookiecutter.deploy_aci else "Standard" }}"
