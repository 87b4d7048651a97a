int vmsig_shim_version(void){return 1;}
