//! What is encrypted at rest, with which key.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha): a nonce of 24 random bytes needs no counter. Where the row stands (table, row,
//! organization) is authenticated with it, so that a value that is moved to another row cannot be read there. The key's id is stored
//! beside the value: keys can be changed one after the other.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use telephony_core::{
    Secret, decode_base64_into,
    signing::{base64_encode, sha256_hex},
};
use zeroize::Zeroizing;

/// Bytes of a nonce.
const NONCE: usize = 24;

/// Bytes of a key.
const KEY: usize = 32;

/// The keys that secrets are encrypted with. New values get the first; older ones are kept until nothing needs them.
///
/// As a text: keys in base64 (32 bytes each), separated by commas or lines, the newest first.
#[derive(Clone)]
pub struct KeyRing {
    keys: Vec<MasterKey>,
    /// Where they were read, if it was a file: another program may change them there.
    file: Option<PathBuf>,
}

#[derive(Clone)]
struct MasterKey {
    id: String,
    bytes: Zeroizing<[u8; KEY]>,
}

/// Why something cannot be encrypted or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// There is no key.
    #[error("the master key is empty: it is base64 of 32 random bytes")]
    NoKey,
    /// A key is none.
    #[error("master key {number}: it must be base64 of 32 bytes")]
    MalformedKey {
        /// Which one, counted from 1.
        number: usize,
    },
    /// A value was encrypted with a key that is not here.
    #[error("a stored secret needs the master key {id}, which is not among those given")]
    UnknownKey {
        /// The key's id.
        id: String,
    },
    /// A value cannot be decrypted: it was changed, or moved to another row.
    #[error("a stored secret cannot be decrypted: it was changed outside this program")]
    Damaged,
    /// The key file cannot be read or written.
    #[error("the key file {path} cannot be used")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others may read the key file.
    #[error("the key file {path} can be read by others: make it private (chmod 600)")]
    NotPrivate {
        /// The file.
        path: PathBuf,
    },
}

impl MasterKey {
    fn new(bytes: [u8; KEY]) -> Self {
        let bytes = Zeroizing::new(bytes);
        // What the id says of the key is its hash, cut: enough to tell keys apart, and nothing to guess from.
        let id = sha256_hex(bytes.as_slice())[..8].to_owned();
        Self { id, bytes }
    }
}

impl KeyRing {
    /// One fresh key.
    #[must_use]
    pub fn generate() -> Self {
        Self { keys: vec![MasterKey::new(rand::random())], file: None }
    }

    /// Reads keys, as `TELEPHONY_MASTER_KEY` holds them.
    ///
    /// # Errors
    ///
    /// [`VaultError::NoKey`], [`VaultError::MalformedKey`].
    pub fn parse(text: &Secret) -> Result<Self, VaultError> {
        let mut keys: Vec<MasterKey> = Vec::new();
        let words = text.expose().split([',', '\n']).map(str::trim).filter(|word| !word.is_empty());
        for (n, word) in words.enumerate() {
            let mut bytes = Zeroizing::new(Vec::new());
            let malformed = VaultError::MalformedKey { number: n + 1 };
            decode_base64_into(word, &mut bytes).map_err(|_| VaultError::MalformedKey { number: n + 1 })?;
            let bytes: [u8; KEY] = bytes.as_slice().try_into().map_err(|_| malformed)?;
            keys.push(MasterKey::new(bytes));
        }
        if keys.is_empty() { Err(VaultError::NoKey) } else { Ok(Self { keys, file: None }) }
    }

    /// Reads a key file, or makes one with a fresh key that only its owner may read.
    ///
    /// # Errors
    ///
    /// [`VaultError`].
    pub fn from_file(path: &Path) -> Result<Self, VaultError> {
        let failed = |source| VaultError::File { path: path.to_owned(), source };
        match fs::read_to_string(path) {
            Ok(text) => {
                check_private(path)?;
                Ok(Self { file: Some(path.to_owned()), ..Self::parse(&Secret::new(text))? })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let ring = Self::generate();
                match ring.write(path, true) {
                    Ok(()) => Ok(Self { file: Some(path.to_owned()), ..ring }),
                    // Another gateway was faster: its key counts.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::from_file(path),
                    Err(error) => Err(failed(error)),
                }
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The same keys behind a fresh one, written to the key file before anything is encrypted with it.
    ///
    /// # Errors
    ///
    /// [`VaultError::File`].
    pub fn with_fresh_key(&self, path: &Path) -> Result<Self, VaultError> {
        let mut ring = Self { file: Some(path.to_owned()), ..Self::generate() };
        ring.keys.extend(self.keys.iter().cloned());
        ring.write(path, false).map_err(|source| VaultError::File { path: path.to_owned(), source })?;
        Ok(ring)
    }

    /// Forgets all keys but the first, once nothing is encrypted with them any more.
    ///
    /// # Errors
    ///
    /// [`VaultError::File`].
    pub fn forget_old_keys(&self, path: &Path) -> Result<Self, VaultError> {
        let ring = Self { keys: self.keys[..1].to_vec(), file: Some(path.to_owned()) };
        ring.write(path, false).map_err(|source| VaultError::File { path: path.to_owned(), source })?;
        Ok(ring)
    }

    /// The id of the key that new values get.
    #[must_use]
    pub fn current_id(&self) -> &str {
        &self.keys[0].id
    }

    /// How many keys there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    fn find(&self, id: &str) -> Option<&MasterKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// Writes the file beside its place and moves it there, so that there is always a whole one.
    fn write(&self, path: &Path, fresh: bool) -> io::Result<()> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let lines: Vec<String> = self.keys.iter().map(|key| base64_encode(key.bytes.as_slice())).collect();
        let text = Zeroizing::new(lines.join("\n") + "\n");
        let beside = path.with_extension(format!("new-{}", std::process::id()));
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        file.sync_all()?;
        if fresh {
            // A link fails where a file is already, and a move would replace it.
            let linked = fs::hard_link(&beside, path);
            fs::remove_file(&beside)?;
            return linked;
        }
        fs::rename(&beside, path)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|key| key.id.as_str()).collect();
        f.debug_tuple("KeyRing").field(&ids).finish()
    }
}

#[cfg(unix)]
fn check_private(path: &Path) -> Result<(), VaultError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(path).map_err(|source| VaultError::File { path: path.to_owned(), source })?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(VaultError::NotPrivate { path: path.to_owned() });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_private(_: &Path) -> Result<(), VaultError> {
    Ok(())
}

/// Encrypts and decrypts.
#[derive(Debug)]
pub(super) struct Vault {
    keys: RwLock<KeyRing>,
}

/// An encrypted value, and the id of the key that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) bytes: Vec<u8>,
    pub(super) key_id: String,
}

impl Vault {
    pub(super) fn new(keys: KeyRing) -> Self {
        Self { keys: RwLock::new(keys) }
    }

    fn keys(&self) -> KeyRing {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn current_key_id(&self) -> String {
        self.keys().current_id().to_owned()
    }

    /// Encrypts with the first key. `place` says where the value is to stand.
    pub(super) fn seal(&self, plain: &[u8], place: &str) -> Result<Sealed, VaultError> {
        let keys = self.keys();
        let key = &keys.keys[0];
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        let encrypted = cipher(key).encrypt(&XNonce::from(nonce), payload).map_err(|_| VaultError::Damaged)?;
        Ok(Sealed { bytes: [nonce.as_slice(), &encrypted].concat(), key_id: key.id.clone() })
    }

    /// Decrypts, if the value stands where it was sealed for.
    pub(super) fn open(&self, sealed: &Sealed, place: &str) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let key = self.key(&sealed.key_id)?;
        let (nonce, encrypted) = sealed.bytes.split_first_chunk::<NONCE>().ok_or(VaultError::Damaged)?;
        let payload = Payload { msg: encrypted, aad: place.as_bytes() };
        let plain = cipher(&key).decrypt(&XNonce::from(*nonce), payload).map_err(|_| VaultError::Damaged)?;
        Ok(Zeroizing::new(plain))
    }

    /// A key, if need be from the file as it is now: keys are changed while gateways run.
    fn key(&self, id: &str) -> Result<MasterKey, VaultError> {
        let keys = self.keys();
        if let Some(key) = keys.find(id) {
            return Ok(key.clone());
        }
        if let Some(file) = &keys.file {
            let fresh = KeyRing::from_file(file)?;
            let found = fresh.find(id).cloned();
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = fresh;
            if let Some(key) = found {
                return Ok(key);
            }
        }
        Err(VaultError::UnknownKey { id: id.to_owned() })
    }
}

fn cipher(key: &MasterKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(*key.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_where_it_stands_and_nowhere_else() {
        let vault = Vault::new(KeyRing::generate());
        let sealed = vault.seal(b"s3cret", "account/1").unwrap();
        assert_eq!(vault.open(&sealed, "account/1").unwrap().as_slice(), b"s3cret");
        assert!(matches!(vault.open(&sealed, "account/2"), Err(VaultError::Damaged)));
        for at in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[at] ^= 1;
            assert!(vault.open(&changed, "account/1").is_err(), "byte {at}");
        }
        let short = Sealed { bytes: vec![0; 10], ..sealed.clone() };
        assert!(matches!(vault.open(&short, "account/1"), Err(VaultError::Damaged)));
        assert_ne!(vault.seal(b"s3cret", "account/1").unwrap().bytes, sealed.bytes, "no nonce twice");
        let other = Vault::new(KeyRing::generate());
        assert!(matches!(other.open(&sealed, "account/1"), Err(VaultError::UnknownKey { .. })));
    }

    #[test]
    fn keys_are_read_newest_first_and_never_shown() {
        let (old, new) = (base64_encode(&[1; 32]), base64_encode(&[2; 32]));
        let ring = KeyRing::parse(&Secret::new(format!("{new}, {old}\n"))).unwrap();
        assert_eq!(ring.count(), 2);
        let before = Vault::new(KeyRing::parse(&Secret::new(old.clone())).unwrap());
        let sealed = before.seal(b"x", "p").unwrap();
        assert_ne!(sealed.key_id, ring.current_id());
        assert_eq!(Vault::new(ring.clone()).open(&sealed, "p").unwrap().as_slice(), b"x");
        assert!(!format!("{ring:?}").contains(&new[..10]));
        assert!(matches!(KeyRing::parse(&Secret::new(" ,")), Err(VaultError::NoKey)));
        let short = KeyRing::parse(&Secret::new(format!("{new},aGk=")));
        assert!(matches!(short, Err(VaultError::MalformedKey { number: 2 })));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_is_private_and_rotates() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/telephony.key");
        let first = KeyRing::from_file(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(KeyRing::from_file(&path).unwrap().current_id(), first.current_id());
        let second = first.with_fresh_key(&path).unwrap();
        assert_ne!(second.current_id(), first.current_id());
        assert_eq!(KeyRing::from_file(&path).unwrap().count(), 2);
        second.forget_old_keys(&path).unwrap();
        let left = KeyRing::from_file(&path).unwrap();
        assert_eq!((left.count(), left.current_id()), (1, second.current_id()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(KeyRing::from_file(&path), Err(VaultError::NotPrivate { .. })));
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing is left beside it");
    }
}
