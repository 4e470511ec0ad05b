import CMsgBox

/// A descriptor of the system that is closed when its owner is gone.
package struct FileDescriptor: ~Copyable {
  package let rawValue: Int32

  /// Takes over an open descriptor.
  package init(owning rawValue: Int32) {
    self.rawValue = rawValue
  }

  /// Takes over what a shim returned: a descriptor, or a negated error number.
  package init(result: Int32) throws(Errno) {
    rawValue = try checked(result)
  }

  /// A descriptor of nothing, to be given up when there are no others.
  package static func reserve() throws(Errno) -> FileDescriptor {
    try FileDescriptor(result: cmsgbox_open_reserve())
  }

  deinit {
    cmsgbox_close(rawValue)
  }
}
