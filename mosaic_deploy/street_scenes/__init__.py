"""Parts of the street renderer; the public door is `mosaic_deploy.street_scenes.render`."""
