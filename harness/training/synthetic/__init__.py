"""Generated data sets and the pretrained model of the default case, for use without a network."""
