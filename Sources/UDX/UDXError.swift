/// Why a command was refused. The message says what to do instead.
public struct UDXError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What a command was refused for.
    public enum Kind: String, Sendable, CaseIterable {
        /// Write, end or message before connect (ENOTCONN). UDX-68.
        case notConnected = "the stream is not connected: connect it first"
        /// A second connect (EISCONN).
        case alreadyConnected = "the stream is connected already: use changeRemote to move it"
        /// Write after end (EPIPE). UDX-68.
        case ended = "this side has ended: nothing more can be written"
        /// No live stream has this id: it closed, or never existed.
        case unknownStream = "no live stream has this id"
        /// The id is taken by another live stream.
        case idInUse = "another live stream has this id: choose another, or let the instance draw one"
        /// Port 0 (EINVAL).
        case invalidAddress = "the remote port is 0"
        /// The instance holds as many streams as its limits allow.
        case tooManyStreams = "the limit of live streams is reached: close one, or raise UDXLimits.maximumStreams"
        /// The stream relays already, or its target is gone.
        case relayRefused = "a stream relays once, to another live stream"
        /// A number was set after packets were sent or received.
        case tooLate = "sequence numbers can only be set before the first packet"
    }

    public let kind: Kind
    public let stream: StreamID

    public init(_ kind: Kind, _ stream: StreamID) {
        self.kind = kind
        self.stream = stream
    }

    public var description: String { "stream \(stream): \(kind.rawValue)" }
}
