import CompactEncoding
import SansIO

/// A connection's link to its blind relay: which relay, under which token, and how far it got. hyperdht.md section 15.
final class RelayLink {
    let owner: RelayOwner
    let relayKey: Bytes32
    let token: Bytes32
    /// The side whose relay is used is the pairing's initiator. HDHT-68.
    let isInitiator: Bool
    /// Our connection to the relay.
    var connection: ConnectionID?
    var timer: NodeTimers<TimerPurpose>.ID?
    var isPaired = false

    init(owner: RelayOwner, relayKey: Bytes32, token: Bytes32, isInitiator: Bool) {
        self.owner = owner
        self.relayKey = relayKey
        self.token = token
        self.isInitiator = isInitiator
    }
}

/// What a relay connection carries: the blind-relay channel, as its client or as its server.
final class RelayChannel {}
