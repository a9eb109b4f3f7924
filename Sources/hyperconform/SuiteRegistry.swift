import Conformance
import DHTChecks
import EncryptionChecks
import SwarmChecks
import TraceChecks
import UDXChecks

/// All checks and mutants that this build knows.
enum SuiteRegistry {
    static let suites: [CheckSuite] =
        EncryptionChecks.suites + UDXChecks.suites + DHTChecks.suites + SwarmChecks.suites + TraceChecks.suites
}
