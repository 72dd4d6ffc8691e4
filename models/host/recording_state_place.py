"""The state that is being read: its zones by name, and how a field of it that cannot be is refused."""

from __future__ import annotations

from pathlib import Path

from models.host.recording_machine import Machine, Zone
from models.host.recording_text import RecordingError

__all__ = ["StatePlace"]


class StatePlace:
    """Where a state stands: in which recording, of which machine.

    Attributes:
        name: ``initial`` or ``final``.
        machine: The machine, already checked.
        path: The recording.
        zones: Zones of the machine by name.
    """

    def __init__(self, name: str, machine: Machine, path: Path) -> None:
        self.name, self.machine, self.path = name, machine, path
        self.zones = {zone.name: zone for zone in machine.zones}

    def fail(self, field: str, message: str) -> RecordingError:
        """Return the error for a field of the state."""
        return RecordingError(message, file=self.path, field=f"{self.name}.{field}")

    def zone(self, name: str, field: str) -> Zone:
        """Return a zone of the machine.

        Raises:
            RecordingError: It has none of that name.
        """
        if name not in self.zones:
            raise self.fail(field, f"no zone {name!r} in this machine, which has {', '.join(self.zones)}")
        return self.zones[name]
