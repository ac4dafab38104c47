//! Who is not let in, and what is not taken: secrets, names, certificates, versions, sizes and numbers.
