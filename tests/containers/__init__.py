"""The containers, for real. A package, so that pytest ends its engine when its tests are done."""
