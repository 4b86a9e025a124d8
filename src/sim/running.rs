//! Starting a simulator, and the handle on a started one.

use super::{
    ChannelFault, DeviceFault, DeviceKind, Error, GatewayFault, Options, certificate::Certificate, control::Control,
    gateway, isapi::Isapi, port::Port, source::Sources, state::Device, streaming, web,
};
use crate::{
    base::TaskGroup,
    model::{Fingerprint, Profile},
    serve::Handler,
};
use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

/// A simulated device that is yet to be started.
pub struct Simulator;

/// A started simulator. Cheap to clone; it runs until its task group stops.
#[derive(Clone)]
pub struct Running {
    /// Where ISAPI listens.
    pub http_addr: SocketAddr,
    /// Where ISAPI listens for HTTPS, if anywhere.
    pub https_addr: Option<SocketAddr>,
    /// Where RTSP listens.
    pub rtsp_addr: SocketAddr,
    /// Where faults are driven by HTTP, if anywhere.
    pub control_addr: Option<SocketAddr>,
    pub(super) device: Arc<Device>,
    group: TaskGroup,
}

impl Simulator {
    /// Binds every port and serves until `group` stops.
    ///
    /// # Errors
    /// Where the options contradict a limit, or a port cannot be had.
    pub async fn start(options: Options, group: &TaskGroup) -> Result<Running, Error> {
        options.check().map_err(Error::Options)?;
        let http = take(&options, options.http_port)?;
        let https = options.https_port.map(|port| take(&options, port)).transpose()?;
        let rtsp = take(&options, options.rtsp_port)?;
        let control = options.control_port.map(|port| take(&options, port)).transpose()?;
        // From here on the options say where things really are: documents and serial numbers are made of them.
        let options = Options {
            http_port: http.address().port(),
            https_port: https.as_ref().map(|https| https.address().port()),
            rtsp_port: rtsp.address().port(),
            ..options
        };
        let certificate = https.as_ref().map(|_| Certificate::new()).transpose().map_err(Error::Options)?;
        let tls = certificate.as_ref().map(|c| c.server_config()).transpose().map_err(Error::Options)?;
        let device = Arc::new(Device { certificate, ..Device::new(options) });
        let running = Running {
            http_addr: http.address(),
            https_addr: https.as_ref().map(Port::address),
            rtsp_addr: rtsp.address(),
            control_addr: control.as_ref().map(Port::address),
            device: device.clone(),
            group: group.clone(),
        };
        let stop = || group.stop_token();
        let isapi: Arc<dyn Handler> = match running.device.options.kind {
            DeviceKind::Gateway => Arc::new(gateway::Isapi::new(running.clone())),
            DeviceKind::Camera | DeviceKind::Nvr => Arc::new(Isapi::new(running.clone())),
        };
        group.spawn("simulated isapi server", web::serve(http, None, device.clone(), isapi.clone(), stop()));
        if let Some((port, tls)) = https.zip(tls) {
            group.spawn("simulated isapi server", web::serve(port, Some(tls), device.clone(), isapi, stop()));
        }
        if let Some(port) = control {
            let control = Arc::new(Control(running.clone()));
            group.spawn("simulator control server", web::serve_always(port, control, stop()));
        }
        let sources = Sources::new(&device);
        let shared = Arc::new(streaming::Shared { device, sources, group: group.clone() });
        group.spawn("simulated rtsp server", streaming::serve(rtsp, shared));
        Ok(running)
    }
}

fn take(options: &Options, port: u16) -> Result<Port, Error> {
    let address = SocketAddr::new(options.listen, port);
    Port::take(options.listen, port).map_err(|source| Error::Bind { address, source })
}

impl Running {
    /// Sets or ends a fault of one channel.
    ///
    /// # Errors
    /// Where there is no such channel, or no picture of such a size.
    pub fn channel(&self, channel: u32, fault: ChannelFault) -> Result<(), Error> {
        self.device.fault_channel(channel, fault)
    }

    /// Sets or ends a fault of a gateway.
    ///
    /// # Errors
    /// Where it is no gateway, or there is no such device or channel behind it.
    pub fn gateway(&self, fault: &GatewayFault) -> Result<(), Error> {
        self.device.fault_gateway(fault)
    }

    /// The `devIndex` of the device of that number behind a gateway.
    pub fn dev_index(&self, device: u32) -> String {
        gateway::index_of(device)
    }

    /// The channel number, in all that counts by channel here, of one channel of a device behind a gateway.
    pub fn channel_behind(&self, device: u32, channel: u32) -> u32 {
        self.device.estate.as_ref().map_or(channel, |estate| estate.flat(device, channel))
    }

    /// Sets or ends a fault of the whole device.
    pub fn device(&self, fault: DeviceFault) {
        self.device.fault_device(&fault);
        if let DeviceFault::Reboot(down) = fault {
            let (device, stop) = (self.device.clone(), self.group.stop_token());
            self.group.spawn("simulated reboot", async move {
                tokio::select! {
                    () = device.options.clock.sleep(down) => device.fault_device(&DeviceFault::Online),
                    () = stop.cancelled() => {}
                }
            });
        }
    }

    /// Video frames of one stream that were handed to the network, to all its viewers together.
    pub fn frames_sent(&self, channel: u32, profile: Profile) -> u64 {
        self.device.channel(channel).map_or(0, |c| c.frames_sent(profile).load(Ordering::Relaxed))
    }

    /// The mark of the newest frame of one stream that was handed to the network; see [`super::Mark`].
    pub fn last_counter(&self, channel: u32, profile: Profile) -> u64 {
        self.device.channel(channel).map_or(0, |c| c.last_counter(profile).load(Ordering::Relaxed))
    }

    /// RTSP sessions of one channel that are set up now, main and sub together.
    pub fn sessions_open(&self, channel: u32) -> u64 {
        self.device.channel(channel).map_or(0, |c| c.sessions_open.load(Ordering::Relaxed))
    }

    /// TEARDOWN requests seen, of all channels.
    pub fn teardowns(&self) -> u64 {
        self.device.channels.iter().map(|c| c.teardowns.load(Ordering::Relaxed)).sum()
    }

    /// Wrong logins seen, by ISAPI and RTSP together.
    pub fn logins_failed(&self) -> u64 {
        self.device.with_logins(|l| l.failed())
    }

    /// The SHA-256 of the certificate that it shows over HTTPS.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.device.certificate.as_ref().map(|c| c.fingerprint())
    }

    /// Everything that `GET /` on the control port shows.
    pub fn state(&self) -> serde_json::Value {
        self.device.to_json()
    }
}
