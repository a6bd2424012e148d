use bytes::Bytes;

use crate::Uuid;
use crate::message::payloads;
use crate::mon::Paxos;

records! {
    /// A command to the monitors; the message's data is its input.
    #[derive(Eq)]
    MonCommand {
        /// Of no concern.
        paxos: Paxos,
        /// The cluster that is meant.
        fsid: Uuid,
        /// A JSON document, in one piece.
        command: Vec<Bytes>,
    }

    /// What became of it; the message's data is its output.
    #[derive(Eq)]
    MonCommandAck {
        /// Of no concern.
        paxos: Paxos,
        /// 0, or a negative error.
        result: i32,
        /// For people.
        status: String,
        /// As it was asked.
        command: Vec<Bytes>,
    }

    /// A command to one daemon; the message's data is its input.
    #[derive(Eq)]
    Command {
        /// The cluster that is meant.
        fsid: Uuid,
        /// A JSON document, in one piece.
        command: Vec<Bytes>,
    }

    /// What became of it; the message's data is its output.
    #[derive(Eq)]
    CommandReply {
        /// 0, or a negative error.
        result: i32,
        /// For people.
        status: String,
    }
}

payloads! {
    MonCommand = MON_COMMAND, 1, 1;
    MonCommandAck = MON_COMMAND_ACK, 1, 1;
    Command = COMMAND, 1, 1;
    CommandReply = COMMAND_REPLY, 1, 1;
}
