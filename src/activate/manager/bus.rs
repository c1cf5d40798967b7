//! Calls to systemd: a connection, messages that are sent together, and their replies.
//!
//! Replies and signals are read from one stream in the order in which systemd sent them, so that a caller sees that a
//! job is queued before it sees that it ended. No wait is without a limit.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout, timeout_at};
use zbus::connection::Builder;
use zbus::message::Type as MessageType;
use zbus::{Connection, DynamicType, Message, MessageStream, Type};

use super::error::{BusError, BusErrorKind};
use super::private::Private;
use crate::bundle::unit::UnitName;

pub(super) const SYSTEMD: &str = "org.freedesktop.systemd1";
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";
pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const DAEMON: &str = "org.freedesktop.DBus";
const OWNER_CHANGED: &str = "NameOwnerChanged";
pub(super) const ROOT: &str = "/org/freedesktop/systemd1";

/// How long systemd may take to answer; it answers all but a reload at once.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// On its private socket systemd tells everybody everything, so that much may come before the first look.
const QUEUE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// A way to systemd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The socket of systemd itself, for root only, as `systemctl` uses it; it needs no message bus.
    Private,
    /// The system bus.
    SystemBus,
}

/// A connection to systemd.
#[derive(Debug)]
pub(super) struct Bus {
    connection: Connection,
    /// The name that the bus gave to systemd, from which its signals come; none without a bus.
    sender: Option<String>,
}

/// A call that is not sent yet.
#[derive(Clone, Debug)]
pub(super) struct Call {
    method: &'static str,
    unit: Option<UnitName>,
    message: Message,
}

impl Call {
    /// Makes a call of a method of the manager.
    pub fn manager<B: Serialize + DynamicType>(
        method: &'static str,
        unit: Option<&UnitName>,
        body: &B,
    ) -> Result<Self, BusError> {
        Self::to(SYSTEMD, ROOT, MANAGER, method, unit, body)
    }

    /// Makes a call that asks an object for a property.
    pub fn property(path: &str, interface: &str, name: &str, unit: Option<&UnitName>) -> Result<Self, BusError> {
        Self::to(SYSTEMD, path, PROPERTIES, "Get", unit, &(interface, name))
    }

    pub fn to<B: Serialize + DynamicType>(
        destination: &str,
        path: &str,
        interface: &str,
        method: &'static str,
        unit: Option<&UnitName>,
        body: &B,
    ) -> Result<Self, BusError> {
        let message =
            Message::method_call(path, method).destination(destination).interface(interface).build(body).map_err(
                |error| BusError {
                    call: method.to_owned(),
                    unit: unit.cloned(),
                    kind: BusErrorKind::Strange(error.to_string()),
                },
            )?;
        Ok(Call { method, unit: unit.cloned(), message })
    }

    /// What a reply to this call names in its header.
    pub fn serial(&self) -> u32 {
        self.message.primary_header().serial_num().get()
    }

    pub fn error(&self, kind: BusErrorKind) -> BusError {
        BusError { call: self.method.to_owned(), unit: self.unit.clone(), kind }
    }

    /// Reads what a reply to this call says.
    pub fn read<'m, T: Deserialize<'m> + Type>(&self, body: &'m zbus::message::Body) -> Result<T, BusError> {
        body.deserialize().map_err(|error| self.error(BusErrorKind::Strange(error.to_string())))
    }

    /// Returns the reply, or the error that it is.
    fn judge(&self, reply: Message) -> Result<Message, BusError> {
        if reply.message_type() == MessageType::Error {
            let name = reply.header().error_name().map(ToString::to_string).unwrap_or_default();
            let message = reply.body().deserialize::<String>().unwrap_or_default();
            return Err(self.error(BusErrorKind::Refused { name, message }));
        }
        Ok(reply)
    }
}

impl Bus {
    /// Connects by one way.
    pub async fn connect(way: Way) -> Result<Self, BusError> {
        let failed = |kind| BusError { call: "Connect".to_owned(), unit: None, kind };
        let connection = match timeout(PATIENCE, Self::open(way)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(failed(BusErrorKind::Unreachable(error.to_string()))),
            Err(_) => return Err(failed(BusErrorKind::Late(PATIENCE))),
        };
        let mut bus = Bus { connection, sender: None };
        if way == Way::SystemBus {
            bus.meet().await?;
        }
        Ok(bus)
    }

    async fn open(way: Way) -> zbus::Result<Connection> {
        match way {
            Way::Private => {
                let (socket, server) = Private::connect().await?;
                Builder::authenticated_socket(socket, server.as_str()).p2p().max_queued(QUEUE).build().await
            }
            Way::SystemBus => Builder::system().max_queued(QUEUE).build().await,
        }
    }

    /// Asks the message bus who systemd is, and for its signals.
    async fn meet(&mut self) -> Result<(), BusError> {
        const PATH: &str = "/org/freedesktop/DBus";
        for rule in [
            format!("type='signal',sender='{SYSTEMD}',path='{ROOT}',interface='{MANAGER}'"),
            format!("type='signal',sender='{DAEMON}',interface='{DAEMON}',member='{OWNER_CHANGED}',arg0='{SYSTEMD}'"),
        ] {
            self.call(&Call::to(DAEMON, PATH, DAEMON, "AddMatch", None, &(rule,))?).await?;
        }
        let owner = Call::to(DAEMON, PATH, DAEMON, "GetNameOwner", None, &(SYSTEMD,))?;
        let body = self.call(&owner).await?.body();
        self.sender = Some(owner.read(&body)?);
        Ok(())
    }

    /// Sends a call and returns its reply.
    pub async fn call(&self, call: &Call) -> Result<Message, BusError> {
        self.call_within(call, PATIENCE).await
    }

    /// Sends a call that may take long.
    pub async fn call_within(&self, call: &Call, limit: Duration) -> Result<Message, BusError> {
        let mut replies = self.all_within(std::slice::from_ref(call), limit).await?;
        replies.pop().unwrap_or_else(|| Err(call.error(BusErrorKind::Strange("no reply".to_owned()))))
    }

    /// Sends calls together and returns their replies in the same order. An error in place of the list means that
    /// nobody answers any more.
    pub async fn all(&self, calls: &[Call]) -> Result<Vec<Result<Message, BusError>>, BusError> {
        self.all_within(calls, PATIENCE).await
    }

    async fn all_within(&self, calls: &[Call], limit: Duration) -> Result<Vec<Result<Message, BusError>>, BusError> {
        let deadline = Instant::now() + limit;
        let mut listener = self.listen();
        listener.send(calls, deadline).await?;
        let mut waiting: HashMap<u32, usize> = calls.iter().map(Call::serial).zip(0..).collect();
        let mut replies: Vec<Option<Result<Message, BusError>>> = vec![None; calls.len()];
        while let Some(&first) = waiting.values().min() {
            let Some(message) = listener.next(deadline).await? else {
                return Err(calls[first].error(BusErrorKind::Late(limit)));
            };
            if let Some((serial, reply)) = replied(&message)
                && let Some(index) = waiting.remove(&serial)
            {
                replies[index] = Some(calls[index].judge(reply));
            }
        }
        Ok(replies.into_iter().flatten().collect())
    }

    /// Returns everything that comes from now on.
    pub fn listen(&self) -> Listener<'_> {
        Listener { bus: self, stream: MessageStream::from(&self.connection) }
    }
}

/// What comes over a connection. It has to be read, or dropped: what is not read holds up everything behind it.
#[derive(Debug)]
pub(super) struct Listener<'b> {
    bus: &'b Bus,
    stream: MessageStream,
}

impl Listener<'_> {
    /// Sends calls in one go, so that systemd takes all of them before it does anything else.
    pub async fn send(&self, calls: &[Call], deadline: Instant) -> Result<(), BusError> {
        let Some(first) = calls.first() else { return Ok(()) };
        let messages: Vec<Message> = calls.iter().map(|call| call.message.clone()).collect();
        match timeout_at(deadline, self.bus.connection.send_all(&messages)).await {
            Ok(sent) => sent.map_err(|error| first.error(BusErrorKind::Lost(error.to_string()))),
            Err(_) => Err(first.error(BusErrorKind::Late(PATIENCE))),
        }
    }

    /// Returns the next message, or none when the time is over.
    pub async fn next(&mut self, deadline: Instant) -> Result<Option<Message>, BusError> {
        let lost =
            |reason: String| BusError { call: "Receive".to_owned(), unit: None, kind: BusErrorKind::Lost(reason) };
        let next = std::future::poll_fn(|context| Pin::new(&mut self.stream).poll_next(context));
        match timeout_at(deadline, next).await {
            Err(_) => Ok(None),
            Ok(Some(Ok(message))) if is_farewell(&message) => Err(lost("systemd left the bus".to_owned())),
            Ok(Some(Ok(message))) => Ok(Some(message)),
            Ok(Some(Err(error))) => Err(lost(error.to_string())),
            Ok(None) => Err(lost("systemd closed it".to_owned())),
        }
    }

    /// Returns the message if it is the reply to this call, or the error that it is.
    pub fn reply_to(&self, message: &Message, call: &Call) -> Option<Result<Message, BusError>> {
        let (serial, reply) = replied(message)?;
        (serial == call.serial()).then(|| call.judge(reply))
    }

    /// Whether a message is this signal of systemd's manager, and not of somebody who claims to be systemd.
    pub fn is_signal(&self, message: &Message, name: &str) -> bool {
        let header = message.header();
        header.message_type() == MessageType::Signal
            && header.member().is_some_and(|member| member.as_str() == name)
            && header.interface().is_some_and(|interface| interface.as_str() == MANAGER)
            && self.bus.sender.as_deref().is_none_or(|sender| header.sender().is_some_and(|from| from == sender))
    }
}

/// Returns the serial number of the call that this message answers.
fn replied(message: &Message) -> Option<(u32, Message)> {
    matches!(message.message_type(), MessageType::MethodReturn | MessageType::Error).then_some(())?;
    Some((message.header().reply_serial()?.get(), message.clone()))
}

/// Whether systemd, the only one whose name is watched, got another name on the bus, as when it is executed anew: its
/// signals no longer come from whom they are expected.
fn is_farewell(message: &Message) -> bool {
    let header = message.header();
    header.message_type() == MessageType::Signal
        && header.member().is_some_and(|member| member.as_str() == OWNER_CHANGED)
        && header.sender().is_some_and(|sender| sender.as_str() == DAEMON)
}
