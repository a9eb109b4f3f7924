import Conformance
import DHTChecks
import EncryptionChecks
import SwarmChecks
import TraceChecks
import UDXChecks

/// All checks and mutants that this build knows; some checks exist once a case of a corpus.
enum SuiteRegistry {
    static func suites(in corpus: Corpus) -> [CheckSuite] {
        EncryptionChecks.suites + UDXChecks.suites(in: corpus) + DHTChecks.suites(in: corpus) + SwarmChecks.suites + TraceChecks.suites
    }
}
