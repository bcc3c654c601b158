"""A run as an Excel workbook whose value follows the inputs."""
