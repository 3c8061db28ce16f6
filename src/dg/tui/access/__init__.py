"""The access screen: who one is, who else may do what, and the audit log."""
