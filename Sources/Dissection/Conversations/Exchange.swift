import CompactEncoding
import DHTRPC
import SansIO

/// A dht-rpc request with everything that belongs to it. Packets are indices into the dissection's `packets`.
public struct Exchange: Sendable {
    public let tid: UInt16
    /// "FIND_NODE", "PEER_HANDSHAKE"...
    public let command: String
    public let isInternal: Bool
    public let commandNumber: UInt64
    public let requester: Endpoint
    public let responder: Endpoint
    public let target: Bytes32?
    public let request: Int
    /// Identical datagrams sent later.
    public internal(set) var retransmissions: [Int] = []
    public internal(set) var response: Int?
    /// Answers to retransmissions.
    public internal(set) var duplicateResponses: [Int] = []
    /// For a leg of a relayed exchange: the exchange that the client began.
    public internal(set) var origin: Int?
    /// For a leg of an exchange whose beginning is not in the capture, as at a server's host: the first leg of it that is.
    public internal(set) var firstLeg: Int?
    /// Legs that relays and server sent on for this exchange, as exchange indices in order.
    public internal(set) var legs: [Int] = []
    /// Why nothing came back; nil if something did.
    public internal(set) var unansweredReason: String?

    /// All packets of the request, first copy first.
    public var requests: [Int] { [request] + retransmissions }
}
