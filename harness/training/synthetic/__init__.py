"""The default data set and its pretrained model, both made here, so that nothing is downloaded."""
