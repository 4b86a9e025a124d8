//! The ISAPI wire: digest, XML by local name, bounded bodies. No policy.
