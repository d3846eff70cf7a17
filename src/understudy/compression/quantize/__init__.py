"""Float programs to integer programs: calibration, learned scales, rounding."""
