import Foundation
import SansIO
import StrictJSON

/// A TCP connection to a listener of the peer: what is sent is exactly what it is given.
final class TCPTester {
    private let descriptor: Int32
    private(set) var hasPeerEnded = false

    init(_ address: Endpoint) throws {
        guard case .v4(let host) = address.address else { throw ProbeError("a tester speaks IPv4 only") }
        #if canImport(Glibc)
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
            let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        var remote = sockaddr_in()
        remote.sin_family = sa_family_t(AF_INET)
        remote.sin_port = address.port.bigEndian
        remote.sin_addr.s_addr = host.bigEndian
        let result = withUnsafePointer(to: &remote) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            Foundation.close(descriptor)
            throw ProbeError("no TCP connection to \(address)")
        }
        self.descriptor = descriptor
    }

    deinit { Foundation.close(descriptor) }

    /// What the peer no longer takes is lost.
    func send(_ bytes: [UInt8]) {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress?.advanced(by: offset), bytes.count - offset) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            offset += count
        }
    }

    /// Ends our direction.
    func end() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// The next bytes; empty if none came in time, or the peer has ended.
    func receive(until deadline: Instant) -> [UInt8] {
        let left = (deadline - .now).microseconds
        guard !hasPeerEnded, left > 0 else { return [] }
        var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&wait, 1, Int32(clamping: (left + 999) / 1000)) > 0 else { return [] }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = Foundation.read(descriptor, &buffer, buffer.count)
        if count < 0 && errno == EINTR { return [] }
        guard count > 0 else {
            hasPeerEnded = true
            return []
        }
        return Array(buffer[..<count])
    }
}

extension ProbeContext {
    /// A listener for stand-alone secret-streams.
    func listen(_ arguments: JSONObject = [:]) throws -> (server: JSON, address: Endpoint) {
        let listener = try peer.request("secretStream.listen", arguments)
        guard let address = listener["address"]?.endpoint else { throw ProbeError("secretStream.listen told no address") }
        let server = try listener.handle("server")
        afterwards { [self] in quietly("close", ["server": server]) }
        return (server, address)
    }
}
