//! Detectors' events, decoded into alerts.
