"""Any image or mask file: how it is opened, judged and read, for every command that reads one."""
