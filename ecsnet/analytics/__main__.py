"""The shipper that a server starts; see `ecsnet.analytics.ship`."""

from __future__ import annotations

from ecsnet.analytics.ship import main

if __name__ == "__main__":
    main()
