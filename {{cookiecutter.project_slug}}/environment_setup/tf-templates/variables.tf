variable "base_name" {
  description = "What the names begin with. Storage, vault and registry must be unique in the world."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9]{2,9}$", var.base_name))
    error_message = "base_name must be 3 to 10 letters and digits, a letter first."
  }
}

variable "project" {
  description = "Value of the tag `project` on everything; it marks what the removal pipeline may delete."
  type        = string

  validation {
    condition     = length(var.project) > 0
    error_message = "project must not be empty: without the tag nobody could tell what belongs to it."
  }
}

variable "location" {
  description = "Region of all resources."
  type        = string
}

variable "resource_group" {
  description = "Resource group of all resources, but not of the state."
  type        = string
}

variable "create_resource_group" {
  description = "Make the resource group. false: it is somebody else's, is used as it is, and never changed or deleted."
  type        = bool
  default     = true
}

variable "workspace_name" {
  description = "Azure ML workspace."
  type        = string
}

variable "tags" {
  description = "More tags of all resources."
  type        = map(string)
  default     = {}
}

variable "registry_sku" {
  description = "Container registry. Premium costs more; Container Instances ask for it where they pull by an identity."
  type        = string
  default     = "Standard"
}

variable "create_compute" {
  description = "Make a cluster for training now. Otherwise the first training makes it."
  type        = bool
  default     = false
}

variable "compute_name" {
  description = "Name of that cluster."
  type        = string
  default     = "train-cluster"
}

variable "compute_size" {
  description = "Size of its nodes."
  type        = string
  default     = "STANDARD_D2DS_V4"
}

variable "compute_priority" {
  description = "Dedicated, or LowPriority, which is Spot: at a price that varies, and nodes may be evicted."
  type        = string
  default     = "Dedicated"
}

variable "compute_max_nodes" {
  description = "At most so many nodes; none while there is no work."
  type        = number
  default     = 4
}

variable "assign_roles" {
  description = "Give the pipelines' identity its roles. Whoever applies must be allowed to assign roles."
  type        = bool
  default     = false
}

variable "principal_id" {
  description = "Object id of that identity, for assign_roles."
  type        = string
  default     = ""

  validation {
    condition     = !var.assign_roles || can(regex("^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$", var.principal_id))
    error_message = "assign_roles needs principal_id, the object id of the pipelines' identity."
  }
}
