import SansIO

/// A simulation can't go on.
public struct SimulationError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Sendable {
        /// The hosts go on doing things without time passing.
        case livelock
    }

    public let kind: Kind
    public let host: HostID
    public let at: Instant
    public let seed: UInt64

    public var description: String {
        "livelock at \(at.microseconds) us, seed \(seed): \(host) asks to be called again at once, for ever; its nextWakeUp does not pass the present"
    }
}
