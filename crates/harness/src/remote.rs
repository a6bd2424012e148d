//! A serving client as its callers see it, wherever it runs: the calls of service RbdClient.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use check::Operation;
use proto::rbd::v1::{
    AcquireLockRequest, CallLimits, CloneImageRequest, DiscardRequest, FlattenRequest, FlushRequest,
    ImageName, ImageShape, InfoReply, InfoRequest, LockOwner, LockOwnerRequest, ReadRequest,
    ReleaseLockRequest, RenameRequest, ReopenRequest, ResizeRequest, SnapCreateRequest, SnapProtectRequest,
    SnapRemoveRequest, SnapRollbackRequest, SnapUnprotectRequest, WriteRequest,
};
use rpc::{Address, Network, rbd::rbd_client_client::RbdClientClient};
use tonic::transport::Channel;

use crate::{
    call::{Call, Failure},
    osd::{POOL, without_pool},
};

/// A frozen client must not be cut off by the judge: its pending calls are part of what is judged.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// The connection to one `rbd-client serve`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Remote {
    stub: RbdClientClient<Channel>,
}

impl Remote {
    /// Connects to a serving client.
    pub async fn connect(address: &Address) -> Result<Self> {
        let channel = Network::tcp(SILENCE_MAX).connect(address).await.context("connecting to the client")?;
        let stub = RbdClientClient::new(channel)
            .max_decoding_message_size(rpc::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(rpc::MESSAGE_BYTES_MAX);
        Ok(Self { stub })
    }

    /// The raw stub, for calls that need no convenience. Cheap.
    pub fn stub(&self) -> RbdClientClient<Channel> {
        self.stub.clone()
    }

    /// Writes; answered when the OSD has acknowledged it.
    pub async fn write(&self, offset: u64, data: impl Into<Bytes>) -> Result<(), Failure> {
        self.stub().write(WriteRequest { offset, data: data.into() }).await?;
        Ok(())
    }

    /// Reads at most 1 MiB.
    pub async fn read(&self, offset: u64, length: u64) -> Result<Bytes, Failure> {
        Ok(self.stub().read(ReadRequest { offset, length }).await?.into_inner().data)
    }

    /// Makes a range read as zeros.
    pub async fn discard(&self, offset: u64, length: u64) -> Result<(), Failure> {
        self.stub().discard(DiscardRequest { offset, length }).await?;
        Ok(())
    }

    /// Waits for every write begun before.
    pub async fn flush(&self) -> Result<(), Failure> {
        self.stub().flush(FlushRequest {}).await?;
        Ok(())
    }

    /// What it knows of the image and of itself.
    pub async fn info(&self) -> Result<InfoReply, Failure> {
        Ok(self.stub().info(InfoRequest {}).await?.into_inner())
    }

    /// Who holds the lock, as the OSD knows it.
    pub async fn lock_owner(&self) -> Result<Option<LockOwner>, Failure> {
        Ok(self.stub().lock_owner(LockOwnerRequest {}).await?.into_inner().owner)
    }

    /// Takes the lock and keeps it.
    pub async fn acquire_lock(&self) -> Result<(), Failure> {
        self.stub().acquire_lock(AcquireLockRequest {}).await?;
        Ok(())
    }

    /// Gives the lock up and goes back to the automatic policy.
    pub async fn release_lock(&self) -> Result<(), Failure> {
        self.stub().release_lock(ReleaseLockRequest {}).await?;
        Ok(())
    }

    /// Opens the image again with a new session; its new instance.
    pub async fn reopen(&self) -> Result<u64, Failure> {
        Ok(self.stub().reopen(ReopenRequest {}).await?.into_inner().gid)
    }

    /// Keeps a snapshot from being removed, so that it can be cloned.
    pub async fn snap_protect(&self, name: &str) -> Result<(), Failure> {
        self.stub().snap_protect(SnapProtectRequest { name: name.to_owned() }).await?;
        Ok(())
    }

    /// Takes that back.
    pub async fn snap_unprotect(&self, name: &str) -> Result<(), Failure> {
        self.stub().snap_unprotect(SnapUnprotectRequest { name: name.to_owned() }).await?;
        Ok(())
    }

    /// Makes another image of pool "rbd" from one of its snapshots. Dropping the call takes the wish back.
    pub async fn clone_image(
        &self,
        parent: &str,
        snap: &str,
        clone: &str,
        object_bytes: u64,
    ) -> Result<(), Failure> {
        let name = |image: &str| Some(ImageName { pool: POOL.to_owned(), image: image.to_owned() });
        let shape = ImageShape { order: Some(object_bytes.ilog2()), ..ImageShape::default() };
        let request = CloneImageRequest {
            parent: name(parent),
            snapshot: snap.to_owned(),
            image: name(clone),
            shape: Some(shape),
        };
        self.stub().clone_image(request).await?;
        Ok(())
    }
}

/// Calls that answer with a stream of events: what each asks for, beside its limits, and the operation of a history that it is.
macro_rules! calls {
    ($(
        $(#[doc = $what:literal])+
        $call:ident($($argument:ident: $type:ty),*) = $request:ident $fields:tt,
        $operation:pat => ($($given:expr),*);
    )+) => {
        impl Remote {
            $(
                $(#[doc = $what])+
                pub fn $call(&self, $($argument: $type,)* limits: CallLimits) -> Call {
                    let mut stub = self.stub();
                    let request = calls!(@request limits $request $fields);
                    Call::follow(async move { stub.$call(request).await })
                }
            )+

            /// Starts one of these.
            ///
            /// # Panics
            /// At an operation that is none of these.
            pub fn begin(&self, operation: &Operation, limits: CallLimits) -> Call {
                match operation {
                    $($operation => self.$call($($given,)* limits),)+
                    other => panic!("{other:?} is no maintenance operation of a serving client"),
                }
            }
        }
    };
    (@request $limits:ident $request:ident { $($field:ident: $value:expr),* }) => {
        $request { limits: Some($limits), $($field: $value),* }
    };
}

calls! {
    /// Starts a flatten.
    flatten() = FlattenRequest {},
        Operation::Flatten => ();
    /// Starts a resize to `size` bytes.
    resize(size: u64, allow_shrink: bool) = ResizeRequest { size: size, allow_shrink: allow_shrink },
        Operation::Resize { size } => (*size, true);
    /// Starts the creation of a snapshot.
    snap_create(name: &str) = SnapCreateRequest { name: name.to_owned() },
        Operation::SnapCreate { snap } => (snap);
    /// Starts the removal of a snapshot.
    snap_remove(name: &str) = SnapRemoveRequest { name: name.to_owned() },
        Operation::SnapRemove { snap } => (snap);
    /// Starts making HEAD what a snapshot is.
    snap_rollback(name: &str) = SnapRollbackRequest { name: name.to_owned() },
        Operation::SnapRollback { snap } => (snap);
    /// Starts giving the image another name.
    rename(name: &str) = RenameRequest { name: name.to_owned() },
        Operation::Rename { to } => (without_pool(to));
}

/// No bounds: the call goes on until it is decided.
pub fn no_limits() -> CallLimits {
    CallLimits::default()
}
