import SansIO

/// What the owner of an instance learns, in the order in which it happened. Streams are named by their local id.
public enum UDXEvent: Hashable, Sendable {
    /// Stream bytes in order. Neighbouring packets of one stream arrive joined; never empty.
    case data(StreamID, [UInt8])
    /// One unreliable message, whole; may be empty. UDX-69.
    case message(StreamID, [UInt8])
    /// The peer's direction is complete: no more `data`.
    case end(StreamID)
    /// Final; the id is free again.
    case closed(StreamID, CloseReason)
    /// Queued bytes fell below the high-water mark after a write had gone above it.
    case drained(StreamID)
    /// Everything written before `flush(token)` is acknowledged.
    case flushed(StreamID, token: UInt64)
    /// All packets of the old remote are acknowledged. UDX-73a.
    case remoteChanged(StreamID)
    /// The firewall rule was consulted for a packet.
    case firewall(StreamID, SocketID, Endpoint, allowed: Bool)
    /// The firewall rule `connectToSource` connected the stream.
    case connected(StreamID, SocketID, Endpoint)

    /// The stream that it happened to.
    public var stream: StreamID {
        switch self {
        case .data(let id, _), .message(let id, _), .end(let id), .closed(let id, _), .drained(let id), .flushed(let id, _),
            .remoteChanged(let id), .firewall(let id, _, _, _), .connected(let id, _, _):
            id
        }
    }
}

/// How a stream came to its end. udx.md section 14.4.
public enum CloseReason: String, Hashable, Sendable, CaseIterable {
    /// Both directions ended and were acknowledged.
    case finished
    /// `destroy` was called here.
    case destroyed
    /// The peer sent DESTROY (ECONNRESET).
    case reset
    /// The peer acknowledged nothing for 13 times the retransmission timeout (ETIMEDOUT). UDX-50a.
    case timedOut
    /// The stream that this one relayed to was closed.
    case relayClosed

    /// False for `reset` and `timedOut`.
    public var isGraceful: Bool { self != .reset && self != .timedOut }
}

/// What became of a datagram.
public enum Disposition: Hashable, Sendable {
    /// It was for a stream.
    case consumed
    /// Not a UDX packet for a live stream: it belongs to the application that shares the socket. UDX-10b.
    case notForStream
    /// The stream's firewall rule is `ask`: decide (connect or destroy the stream if you like), then hand the same datagram in again with
    /// `verdict` set. Nothing of it has been used yet.
    case askOwner(StreamID)
}
