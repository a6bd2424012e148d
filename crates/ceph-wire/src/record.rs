//! Structs that are encoded field by field.

/// Declares structs whose encoding is that of their fields in order; with `version V, C` as a versioned struct of that
/// version and compatibility. An error names the struct and the field.
macro_rules! records {
    ($($(#[$meta:meta])* $name:ident $(version $version:literal, $compat:literal)? {
        $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $name {
            #[allow(unused_variables, reason = "a struct may be without fields")]
            fn put_fields(&self, out: &mut $crate::Writer) {
                $($crate::Wire::put(&self.$field, out);)*
            }

            #[allow(unused_variables, reason = "a struct may be without fields")]
            fn take_fields(from: &mut $crate::Reader<'_>) -> Result<Self, $crate::WireError> {
                Ok(Self {
                    $($field: $crate::Wire::take(from)
                        .map_err(|error: $crate::WireError| {
                            error.at(concat!(stringify!($name), ".", stringify!($field)))
                        })?,)*
                })
            }
        }

        impl $crate::Wire for $name {
            fn put(&self, out: &mut $crate::Writer) {
                records!(@put self out $($version, $compat)?);
            }

            fn take(from: &mut $crate::Reader<'_>) -> Result<Self, $crate::WireError> {
                let taken = records!(@take from $($version)?);
                taken.map_err(|error| error.at(stringify!($name)))
            }
        }

        #[cfg(test)]
        impl $crate::sample::Sample for $name {
            #[allow(unused_variables, reason = "a struct may be without fields")]
            fn sample(draw: &mut $crate::sample::Draw<'_>) -> Self {
                Self { $($field: $crate::sample::Sample::sample(draw),)* }
            }
        }
    )*};
    (@put $self:ident $out:ident) => { $self.put_fields($out) };
    (@put $self:ident $out:ident $version:literal, $compat:literal) => {
        $out.versioned($version, $compat, |out| $self.put_fields(out))
    };
    (@take $from:ident) => { Self::take_fields($from) };
    (@take $from:ident $version:literal) => {
        $from.versioned($version, |from, _| Self::take_fields(from))
    };
}
