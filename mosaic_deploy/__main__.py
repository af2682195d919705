"""``python -m mosaic_deploy`` is ``mosaic-deploy``."""

from mosaic_deploy.cli.app import main

main()
