import CDatagram
import SansIO

extension hyperconform_datagram {
    /// The address in Swift's terms; IPv4-mapped addresses arrive as IPv4.
    var endpoint: Endpoint {
        withUnsafeBytes(of: address) { octets in
            if family == 4 { return Endpoint(.v4(octets.loadUnaligned(as: UInt32.self).bigEndian), port) }
            let high = octets.loadUnaligned(fromByteOffset: 0, as: UInt64.self).bigEndian
            let low = octets.loadUnaligned(fromByteOffset: 8, as: UInt64.self).bigEndian
            return Endpoint(.v6(high, low), port)
        }
    }

    init(_ endpoint: Endpoint) {
        self.init()
        port = endpoint.port
        withUnsafeMutableBytes(of: &address) { octets in
            switch endpoint.address.unmapped {
            case .v4(let value):
                octets.storeBytes(of: value.bigEndian, as: UInt32.self)
            case .v6(let high, let low):
                octets.storeBytes(of: high.bigEndian, toByteOffset: 0, as: UInt64.self)
                octets.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
        }
        family = endpoint.address.unmapped.isIPv4 ? 4 : 6
    }
}
