import Foundation
import Hyperswarm
import SansIO
import UDX

/// A UDX stream whose writes wait until it is connected, as the contract says.
///
/// Unchecked: what is mutable stands behind the lock.
final class PlainStream: DuplexStream, @unchecked Sendable {
    typealias Element = [UInt8]

    private enum Waiting {
        case write([UInt8])
        case finish
    }

    let stream: UDXStream
    private let lock = NSLock()
    private var waiting: [Waiting]? = []

    init(_ stream: UDXStream) { self.stream = stream }

    /// Queues if the stream is not connected yet.
    private func postpone(_ operation: Waiting) -> Bool {
        lock.withLock {
            guard waiting != nil else { return false }
            waiting?.append(operation)
            return true
        }
    }

    func connect(_ socket: UDXSocket, to remoteID: StreamID, at remote: Endpoint) async throws {
        try await stream.connect(socket, to: remoteID, at: remote)
        let operations = lock.withLock {
            defer { waiting = nil }
            return waiting ?? []
        }
        for operation in operations {
            switch operation {
            case .write(let bytes): _ = try stream.writeNow(bytes)
            case .finish: try await stream.finish()
            }
        }
    }

    func write(_ bytes: [UInt8]) async throws {
        if !postpone(.write(bytes)) { try await stream.write(bytes) }
    }
    func writeNow(_ bytes: [UInt8]) throws -> Bool { postpone(.write(bytes)) ? true : try stream.writeNow(bytes) }
    func waitForRoom() async throws { try await stream.waitForRoom() }
    func finish() async throws {
        if !postpone(.finish) { try await stream.finish() }
    }
    func flush() async throws { try await stream.flush() }
    func send(_ message: [UInt8]) async throws { try await stream.send(message) }
    var messages: Arrivals<[UInt8]> { stream.messages }
    var hasRemoteEnded: Bool { stream.hasRemoteEnded }
    func destroy() { stream.destroy() }
    func closed() async throws -> StreamFailure? { try await stream.closed() }
    func makeAsyncIterator() -> UDXStream.Iterator { stream.makeAsyncIterator() }
}
