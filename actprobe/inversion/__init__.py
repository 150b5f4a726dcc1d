"""What a layer keeps of the sound: feature inverters, their training and their evaluation."""

from actprobe.inversion.inverter import Inverter, load_inverter

__all__ = ["Inverter", "load_inverter"]
