"""A file system in a file, whose power can be cut."""
import fcntl
import os
import struct
import subprocess

from daemon import run, until

# `FS_IOC_SHUTDOWN`, and its way that writes nothing of what is pending.
SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2


class Disk:
    def __init__(self, dir, name, fs="ext4", size="64M", options=()):
        self.image, self.mount_point, self.fs = dir / f"{name}.img", dir / name, fs
        self.mount_point.mkdir()
        run("truncate", "-s", size, self.image)
        run(*(["mkfs.ext4", "-q", "-m0"] if fs == "ext4" else ["mkfs.xfs", "-q"]), *options, self.image)
        # One loop device for the whole run: a second one over the same file could still see what the first one cached.
        self.device = subprocess.run(["losetup", "-f", "--show", str(self.image)], check=True, capture_output=True, text=True).stdout.strip()
        self.mount()

    def mount(self):
        run("mount", self.device, self.mount_point)

    def umount(self, *how):
        until(f"unmount of {self.mount_point}", lambda: subprocess.run(["umount", *how, str(self.mount_point)], stderr=subprocess.DEVNULL).returncode == 0, 30)

    def shut_down(self):
        """From now on nothing reaches the disk, as after a power cut."""
        root = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(root, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(root)

    def power_again(self):
        """What the disk has; whoever was on it has to have ended."""
        self.umount()
        self.mount()

    def fill(self):
        with open(self.mount_point / "filler", "ab") as file:
            try:
                while True:
                    file.write(b"x" * (1 << 20))
                    file.flush()
            except OSError:
                pass

    def close(self):
        subprocess.run(["fsfreeze", "-u", str(self.mount_point)], stderr=subprocess.DEVNULL)
        while subprocess.run(["umount", "-l", str(self.mount_point)], stderr=subprocess.DEVNULL).returncode == 0:
            pass
        subprocess.run(["losetup", "-d", self.device], check=False)
