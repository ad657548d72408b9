#!/usr/bin/env python3
"""Cuts the power of mounted ext4 file systems, of all at once: what was not synced is lost.

Usage: power_cut.py MOUNT_POINT...

The shutdown ioctl with the flag NOLOGFLUSH aborts the journal without writing it, which is what the
disk would hold after a power failure, given a disk that keeps what it was told to flush.
"""
import fcntl
import os
import struct
import sys

EXT4_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2

mount_points = [os.open(path, os.O_RDONLY) for path in sys.argv[1:]]
for mount_point in mount_points:
    fcntl.ioctl(mount_point, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
