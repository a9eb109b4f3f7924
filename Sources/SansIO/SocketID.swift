/// A local socket, named by its driver. One machine may own several: server, client, and up to 256 punch sockets.
public struct SocketID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let number: UInt32

    @inlinable public init(_ number: UInt32) { self.number = number }

    public var description: String { "socket \(number)" }
    public static func < (a: SocketID, b: SocketID) -> Bool { a.number < b.number }
}
