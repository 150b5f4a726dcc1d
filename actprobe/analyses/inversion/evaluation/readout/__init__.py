"""The linear readout: ridge regression from the features of a layer to the excerpt, beside the inverters."""
