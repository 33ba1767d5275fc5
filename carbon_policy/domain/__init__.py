"""The words of the field as frozen data: signal, job, site, decision. Pure."""
