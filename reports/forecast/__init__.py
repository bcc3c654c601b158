"""What will the market be: the main job, its tables, figures and page."""
